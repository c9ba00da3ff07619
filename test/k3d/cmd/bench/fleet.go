// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/test/k3d/gitserver"
	"github.com/edgeagent/edgeagent/test/k3d/node"
)

// fleetNode is the node whose folder is fetched out of a fleet's repository.
const fleetNode = 7

// fleets are the repositories of which a node needs little.
var fleets = []struct {
	what   string
	fleet  gitserver.Fleet
	target string
}{
	{"14 kB of 28 MB, 2000 folders, 300 commits", gitserver.Fleet{Folders: 2000, Commits: 300, Bytes: 28_000_000}, "≤ 1.3, ≤ 150 kB"},
	{"100 kB of 200 MB, 2000 folders, 5000 commits", gitserver.Fleet{Folders: 2000, Commits: 5000, Bytes: 200_000_000}, "≤ 1.3"},
}

// fleetRepository is a repository that is made once and kept between runs.
type fleetRepository struct {
	root   string // what a server serves
	repo   *gitserver.Repo
	signer *gitserver.Signer
}

// fleetOf makes a fleet's repository, or finds it where the last run left it.
func (b *bench) fleetOf(f gitserver.Fleet) (fleetRepository, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	root := filepath.Join(cache, "edgeagent-bench", fmt.Sprintf("fleet-%d-%d-%d", f.Folders, f.Commits, f.Bytes))
	done := filepath.Join(root, "complete")
	if _, err := os.Stat(done); err == nil {
		keys, err := filepath.Glob(filepath.Join(root, "signer-*", "key"))
		if err != nil || len(keys) != 1 {
			return fleetRepository{}, fmt.Errorf("find the key of %s: %v, %v; remove the directory", root, keys, err)
		}
		public, err := os.ReadFile(keys[0] + ".pub")
		return fleetRepository{
			root: root, repo: &gitserver.Repo{Name: "fleet.git", Bare: filepath.Join(root, "fleet.git"), Work: root},
			signer: &gitserver.Signer{Principal: "dev@example.com", KeyFile: keys[0], PublicKey: strings.TrimSpace(string(public))},
		}, err
	}
	if err := os.RemoveAll(root); err != nil {
		return fleetRepository{}, err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return fleetRepository{}, err
	}
	signer, err := gitserver.NewSigner(b.ctx, root, "dev@example.com")
	if err != nil {
		return fleetRepository{}, err
	}
	repo, err := f.Make(b.ctx, root, "fleet", signer)
	if err != nil {
		return fleetRepository{}, err
	}
	return fleetRepository{root: root, repo: repo, signer: signer}, os.WriteFile(done, nil, 0o600)
}

func (f fleetRepository) git(b *bench, args ...string) (string, error) {
	return f.repo.Git(b.ctx, append([]string{"-C", f.repo.Bare}, args...)...)
}

// fleetSyncs are first syncs of one node out of a large repository, beside the
// size of what it needs, and beside git itself.
func (b *bench) fleetSyncs() ([]row, error) {
	var rows []row
	for _, f := range fleets {
		repository, err := b.fleetOf(f.fleet)
		if err != nil {
			return nil, err
		}
		more, err := b.fleetSync(f.what, f.target, repository, f.fleet.Folder(fleetNode))
		if err != nil {
			return nil, fmt.Errorf("first sync of %s: %w", f.what, err)
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

func (b *bench) fleetSync(what, target string, f fleetRepository, folder string) ([]row, error) {
	server, err := gitserver.Start(b.ctx, gitserver.Config{Root: f.root})
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	floor, err := b.closureSize(f, folder)
	if err != nil {
		return nil, err
	}
	sparse, err := b.sparseClone(server, f, folder)
	if err != nil {
		return nil, err
	}
	server.Forget()
	if err := b.fleetAgent(server, f, folder); err != nil {
		return nil, err
	}
	ours := server.Traffic()
	total := ours.BytesIn + ours.BytesOut
	return []row{
		{"first sync, " + what + ": bytes", fmt.Sprintf("%s in %d requests", kilobytes(total), ours.Requests),
			kilobytes(floor) + " commits, trees on the way, files", ratio(total, floor), target},
		{"first sync, " + what + ": beside git", kilobytes(total),
			fmt.Sprintf("%s in %d requests, git clone --filter=blob:none --sparse", kilobytes(sparse.BytesIn+sparse.BytesOut), sparse.Requests),
			ratio(total, sparse.BytesIn+sparse.BytesOut), ""},
	}, nil
}

// closureSize is the size of a pack with all commits, the trees on the way to
// the folder, and what is in it.
func (b *bench) closureSize(f fleetRepository, folder string) (int64, error) {
	var ids []string
	for _, args := range [][]string{
		{"rev-list", "main"},
		{"rev-parse", "main^{tree}", "main:" + filepath.Dir(folder), "main:" + folder},
		{"ls-tree", "-r", "--format=%(objectname)", "main", folder},
	} {
		out, err := f.git(b, args...)
		if err != nil {
			return 0, err
		}
		ids = append(ids, strings.Fields(out)...)
	}
	cmd := exec.CommandContext(b.ctx, "git", "-C", f.repo.Bare, "pack-objects", "--stdout", "-q", "--delta-base-offset")
	cmd.Stdin = strings.NewReader(strings.Join(ids, "\n") + "\n")
	pack, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("pack what a node needs: %w", err)
	}
	return int64(len(pack)), nil
}

func (b *bench) sparseClone(server *gitserver.Server, f fleetRepository, folder string) (gitserver.Traffic, error) {
	dir, err := os.MkdirTemp(b.dir, "sparse-")
	if err != nil {
		return gitserver.Traffic{}, err
	}
	server.Forget()
	for _, args := range [][]string{
		{"clone", "--quiet", "--filter=blob:none", "--sparse", "--no-checkout", server.URL(f.repo), dir},
		{"-C", dir, "sparse-checkout", "set", folder},
		{"-C", dir, "checkout", "--quiet", "main"},
	} {
		if err := b.runGit(args...); err != nil {
			return gitserver.Traffic{}, err
		}
	}
	return server.Traffic(), nil
}

// fleetAgent runs a new node's agent until it runs what its folder says.
func (b *bench) fleetAgent(server *gitserver.Server, f fleetRepository, folder string) error {
	dir, err := os.MkdirTemp("", "edgeagent-fleet-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the system cleans up what is left
	kubeconfig, err := b.cluster.User("fleet", "system:masters")
	if err != nil {
		return err
	}
	history, err := f.git(b, "rev-list", "main")
	if err != nil {
		return err
	}
	commits := strings.Fields(history)
	allowed := filepath.Join(dir, "allowed_signers")
	if err := gitserver.WriteAllowedSigners(allowed, f.signer); err != nil {
		return err
	}
	name := fmt.Sprintf("fleet-%d", len(commits))
	n := node.New(dir, filepath.Join(b.root, "bin", "edgeagent"), name, kubeconfig)
	n.Config["sources"] = []any{map[string]any{
		"name": name, "url": server.URL(f.repo), "insecure": true, "ref": map[string]any{"branch": "main"},
		"path": folder, "interval": "1h", "onRemove": "prune",
		"trust": map[string]any{"introduction": commits[len(commits)-1], "allowedSigners": allowed},
	}}
	if err := n.Start(b.ctx, "RUNTIME_DIRECTORY="+dir); err != nil {
		return err
	}
	defer n.Kill() //nolint:errcheck // it is over
	err = b.until(func() (bool, error) {
		st, err := n.Status(name)
		return err == nil && st.Ready() && st.Healthy.Revision.Hash() == gitops.Hash(commits[0]), err
	})
	if err != nil {
		return fmt.Errorf("%w\n\nthe agent's log:\n%s", err, n.Logs())
	}
	return nil
}
