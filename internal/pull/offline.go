// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"context"
	"io"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Import refuses every file: this client reads what a server sends.
func (s *Source) Import(_ context.Context, file string, _ []gitops.Hash) (gitops.Commit, error) {
	return gitops.Commit{}, failed(gitops.UnsupportedBundle, "let the source's URL name a directory with the repository",
		"import %s: this client reads no bundle files", file)
}

// Export writes nothing.
func (s *Source) Export(_ context.Context, rev gitops.Revision, _ io.Writer) error {
	return failed(gitops.UnsupportedBundle, "run git bundle create on a clone",
		"export %s: this client writes no bundle files", rev.Short())
}
