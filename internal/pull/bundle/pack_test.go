// SPDX-License-Identifier: Apache-2.0

package bundle_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The folders of a fleet's nodes are alike: what Git finds of that, is found.
func TestFoldersThatAreAlikeCostLittle(t *testing.T) {
	r := newRepo(t)
	same := noise(4000)
	for i := range 150 {
		r.write(fmt.Sprintf("nodes/node-%03d/app.yaml", i), fmt.Sprintf("node: %d\n", i)+same)
		r.write(fmt.Sprintf("flat/%03d.yaml", i), same+fmt.Sprintf("node: %d\n", i))
	}
	r.commit("first", "x")
	for i := range 20 {
		r.commit(fmt.Sprintf("nodes/node-%03d/app.yaml", i*7), fmt.Sprintf("node: %d\nchanged\n", i)+same)
	}
	done := r.publish()
	own := filepath.Join(t.TempDir(), "own.bundle")
	r.git("bundle", "create", "-q", own, "main")
	info, err := os.Stat(own)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes, git's own bundle has %d", done.Bytes, info.Size())
	if done.Bytes > 3*info.Size() {
		t.Errorf("the bundle has %d bytes, git's own has %d", done.Bytes, info.Size())
	}
}

// No chain of differences is longer than what Git makes: every one of them is
// work for a node.
func TestChainsOfDifferencesAreBounded(t *testing.T) {
	r := newRepo(t)
	text := noise(3000)
	for i := range 120 {
		r.commit("file", text+fmt.Sprint(i))
	}
	done := r.publish()
	name := filepath.Join(r.dir, done.Written[0].Name)
	bare := filepath.Join(t.TempDir(), "r.git")
	git(t, "", "init", "-q", "--bare", bare)
	git(t, bare, "-c", "transfer.unpackLimit=1", "bundle", "unbundle", name)
	packs, _ := filepath.Glob(filepath.Join(bare, "objects/pack/*.pack"))
	if len(packs) != 1 {
		t.Fatalf("packs %v", packs)
	}
	deepest := ""
	for line := range strings.SplitSeq(git(t, bare, "verify-pack", "-v", packs[0]), "\n") {
		if strings.HasPrefix(line, "chain length = ") {
			deepest = strings.Fields(line)[3]
		}
	}
	if deepest != "49:" {
		t.Errorf("the longest chain is %q, want 49", deepest)
	}
}

// A path may become something else: a folder a file, a file a link or a module.
func TestPathsThatBecomeSomethingElse(t *testing.T) {
	r := newRepo(t)
	head := string(r.commit("a/b", noise(2000)))
	r.commit("c", noise(2000))
	r.publish()
	swap := func(path, to string) {
		if err := os.RemoveAll(filepath.Join(r.work, path)); err != nil {
			t.Fatal(err)
		}
		switch to {
		case "folder":
			r.write(path+"/x", noise(2000)+"x")
		case "file":
			r.write(path, noise(2000)+"y")
		case "link":
			if err := os.Symlink("x", filepath.Join(r.work, path)); err != nil {
				t.Fatal(err)
			}
		}
		r.git("add", "-A")
		if to == "module" {
			r.git("update-index", "--add", "--cacheinfo", "160000,"+head+","+path)
		}
		r.git("commit", "-q", "-m", path+" becomes a "+to)
		r.publish()
	}
	for _, step := range [][2]string{{"a", "file"}, {"c", "folder"}, {"a", "link"}, {"c", "module"}, {"a", "folder"}, {"c", "file"}} {
		swap(step[0], step[1])
	}
	r.publish("refs/heads/*")
}
