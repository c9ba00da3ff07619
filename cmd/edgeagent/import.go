// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/localapi"
)

func newImportCommand(a *app) *cobra.Command {
	var w waiting
	var source string
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "take a Git bundle in from a stick",
		Long: `Take in what a Git bundle holds, as if it had come over the network: the same
signatures are asked for, and nothing is downloaded. The bundle may be one that
edgeagent export wrote, or one of git bundle create, whole or incremental. FILE
is - for the standard input.

The exit code is 1 when the bundle is refused. Bundles that are put into the
folder import of stateDir are taken in as well.`,
		Example: `  edgeagent import /media/stick/fleet.bundle --wait
  edgeagent import fleet.bundle --source fleet`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			imported, err := importFile(cmd.Context(), a, args[0], source)
			if err != nil {
				return err
			}
			if w.wait && imported.Refused == nil {
				ticket := localapi.Ticket{Cycles: map[string]int64{imported.Source: imported.Cycle}}
				return w.until(cmd.Context(), a, ticket, gitops.SourceStatus.Ready)
			}
			if err := present(a, imported, page.imported); err != nil {
				return err
			}
			if imported.Refused != nil {
				return quietExit(exitError)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&source, "source", "", "whose bundle it is; by default, all that follow its repository")
	w.flags(cmd)
	return cmd
}

func importFile(ctx context.Context, a *app, name, source string) (gitops.Imported, error) {
	bundle, size, err := openBundle(a, name)
	if err != nil {
		return gitops.Imported{}, err
	}
	defer bundle.Close()
	t := startTransfer(ctx, a, source, "sent", size)
	defer t.end()
	return a.client().Import(ctx, source, io.TeeReader(bundle, t), size)
}

// openBundle opens a file, and says how large it is, -1 when nobody knows.
func openBundle(a *app, name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		if f, ok := a.stdin.(*os.File); ok && isTerminal(f) {
			return nil, 0, usageError("import -: a bundle cannot be typed; name a file, or write one into this command")
		}
		return io.NopCloser(a.stdin), -1, nil
	}
	// Not opened before it is known what it is: a pipe would wait for ever.
	info, err := os.Stat(name)
	if err != nil {
		return nil, 0, fmt.Errorf("open the bundle: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("open the bundle: %s is not a regular file; for a pipe, write -", name)
	}
	f, err := os.Open(name)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, 0, fmt.Errorf("open the bundle: %w; run the command as root", err)
		}
		return nil, 0, fmt.Errorf("open the bundle: %w", err)
	}
	return f, info.Size(), nil
}

// imported says what came of a bundle.
func (p page) imported(w io.Writer, i gitops.Imported) error {
	verdict := "was here already"
	switch {
	case i.Refused != nil:
		verdict = p.paint(red, "is refused") + fmt.Sprintf(", %s: %s", i.Refused.Reason, oneLine(i.Refused.Message))
	case i.New:
		verdict = p.paint(green, "is accepted") + ". Follow it with: edgeagent status -w"
	}
	_, err := fmt.Fprintf(w, "%s: %s %s\n", i.Source, i.Revision.Short(), verdict)
	return err
}
