// SPDX-License-Identifier: Apache-2.0

package gitserver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
)

// Fleet is a large repository: a folder for each node of a fleet, with
// ConfigMaps that do not compress, and a history in which each commit changes
// one of them. Every commit is signed.
type Fleet struct {
	Folders int
	Commits int   // at least 1: the first makes all folders
	Bytes   int64 // of all files of the first commit
}

// firstCommit is when the history begins; a commit is a minute after its parent.
const firstCommit = 1_700_000_000

// mostPerFile keeps the files as small as manifests are.
const mostPerFile = 16_000

// Folder is the path of a node's folder, counted from 0.
func (Fleet) Folder(n int) string { return fmt.Sprintf("nodes/node-%04d", n) }

// Make makes the repository DIR/NAME.git. It has no work tree. The same Fleet
// and signer make the same files.
func (f Fleet) Make(ctx context.Context, dir, name string, signer *Signer) (*Repo, error) {
	r, err := NewRepo(ctx, dir, name)
	if err != nil {
		return nil, err
	}
	if err := f.importFiles(ctx, r); err != nil {
		return nil, err
	}
	if err := signHistory(ctx, r, signer); err != nil {
		return nil, err
	}
	return r, r.Repack(ctx, Packing{Bitmaps: true, CommitGraph: true})
}

// importFiles makes the history, unsigned.
func (f Fleet) importFiles(ctx context.Context, r *Repo) error {
	reader, writer := io.Pipe()
	cmd := exec.CommandContext(ctx, "git", "fast-import", "--quiet", "--depth=50")
	cmd.Dir, cmd.Env, cmd.Stdin = r.Bare, environment(r.Bare), reader
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	go func() {
		buffered := bufio.NewWriterSize(writer, 1<<20)
		f.write(buffered)
		writer.CloseWithError(buffered.Flush()) //nolint:errcheck // it always succeeds
	}()
	if err := cmd.Run(); err != nil {
		reader.CloseWithError(err) //nolint:errcheck // it always succeeds
		return fmt.Errorf("import the files of %s: %w: %s", r.Name, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return nil
}

// write is the history as git fast-import reads it. A writer that fails says
// so when it is flushed.
func (f Fleet) write(w *bufio.Writer) {
	random := rand.New(rand.NewPCG(uint64(f.Folders), uint64(f.Commits)))
	perFolder := int(f.Bytes / int64(f.Folders))
	files := max(1, (perFolder+mostPerFile-1)/mostPerFile)
	file := func(folder, n int) {
		content := randomConfigMap(random, fmt.Sprintf("fleet-%d-node-%04d-%02d", f.Commits, folder, n), perFolder/files)
		fmt.Fprintf(w, "M 100644 inline %s/cm-%02d.yaml\ndata %d\n%s\n", f.Folder(folder), n, len(content), content)
	}
	commit := func(n int, message string) {
		fmt.Fprintf(w, "commit refs/heads/main\ncommitter %s\ndata %d\n%s\n", stamp(n), len(message), message)
	}
	commit(0, "all nodes")
	readme := "A fleet.\n"
	fmt.Fprintf(w, "M 100644 inline README.md\ndata %d\n%s\n", len(readme), readme)
	for folder := range f.Folders {
		for n := range files {
			file(folder, n)
		}
	}
	for n := 1; n < f.Commits; n++ {
		folder := random.IntN(f.Folders)
		commit(n, fmt.Sprintf("change node %d", folder))
		file(folder, random.IntN(files))
	}
}

func stamp(n int) string {
	return fmt.Sprintf("%s <%s> %d +0000", authorName, authorEmail, firstCommit+60*n)
}

// randomConfigMap is a manifest of about size bytes that compresses no better
// than certificates and images do.
func randomConfigMap(random *rand.Rand, name string, size int) string {
	head := "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\n  namespace: default\ndata:\n  content: "
	raw := make([]byte, max(1, (size-len(head))*3/4))
	for i := range raw {
		raw[i] = byte(random.Uint32())
	}
	return strings.TrimRight(head+base64.RawStdEncoding.EncodeToString(raw), "\n") + "\n"
}
