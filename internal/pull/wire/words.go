// SPDX-License-Identifier: Apache-2.0

package wire

import "github.com/edgeagent/edgeagent/internal/gitops"

// Ref is a name on the server.
type Ref struct {
	Name string
	ID   gitops.Hash
	// Peeled is what a tag object names in the end, "" where ID is no tag.
	Peeled gitops.Hash
}

// Refs are those that were asked for.
type Refs struct {
	List []Ref
	// Shallow says that the server itself has no whole history. In v2 only the
	// answer to a fetch tells: see Pack.
	Shallow bool
}

// WholeTrees is a filter that leaves nothing out. With it Git does not answer
// out of its bitmaps, which know no thin packs: one line in a directory of 1000
// files is 0.5 kB, and not the 25 kB of the whole directory.
const WholeTrees = "tree:1024"

// Request asks for a pack.
type Request struct {
	// Haves claim everything below them. At most 64 are sent.
	Wants, Haves []gitops.Hash
	// WantRefs are wanted as the server has them when it answers: see Pack.Wanted.
	// Only Server.WantRef says that it can; elsewhere there is an error.
	WantRefs []string
	// Filter leaves objects out: "", "tree:0", "tree:1", "tree:2", "blob:none" or
	// WholeTrees. Where the server knows no filter, it is not sent. Git does not
	// count a tree that is wanted by its id: "tree:0" brings it alone, and
	// "tree:1" with the files and trees that it lists.
	Filter string
	Depth  int // of the history, 0 = all
}

// Server is what is known of the other side.
type Server struct {
	Protocol string // "" until it answered, "v2", "v0" or "directory"
	Filter   bool   // it leaves out objects as asked
	AnyWant  bool   // any object can be asked for by its id
	// AnyCommit says the same of commits that a ref reaches.
	AnyCommit bool
	Shallow   bool   // it can cut off history
	WantRef   bool   // a ref can be asked for by its name
	Name      string // as status shows it
}
