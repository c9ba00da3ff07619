// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
)

func newExportCommand(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "export SOURCE FILE",
		Short: "write a Git bundle for a node without an uplink",
		Long: `Write what a source runs, its last healthy revision, into a Git bundle that
edgeagent import takes on a node without an uplink. The whole tree is fetched
first, the folders of other nodes too: where that cannot be, nothing is written,
and the error names what is missing. FILE is - for the standard output.

The file gets its name when it is whole.`,
		Example: `  edgeagent export fleet /media/stick/fleet.bundle
  edgeagent export fleet - | ssh store-0043 edgeagent import -`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, name := args[0], args[1]
			if name == "-" {
				if isTerminal(a.stdout) {
					return usageError("export -: a bundle is nothing to look at; name a file, or pipe it on")
				}
				_, err := exportTo(cmd.Context(), a, source, a.stdout)
				return err
			}
			size, err := exportFile(cmd.Context(), a, source, name, force)
			if err != nil {
				return err
			}
			return present(a, exported{source, name, size}, page.exported)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace FILE if it is there")
	return cmd
}

// exported is what export did.
type exported struct {
	Source string `json:"source"`
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
}

func (p page) exported(w io.Writer, e exported) error {
	_, err := fmt.Fprintf(w, "%s: %s in %s. Take it in elsewhere with: edgeagent import %s\n", e.Source, size(e.Bytes), e.File, filepath.Base(e.File))
	return err
}

func exportTo(ctx context.Context, a *app, source string, w io.Writer) (int64, error) {
	t := startTransfer(ctx, a, source, "received", 0)
	defer t.end()
	err := a.client().Export(ctx, source, io.MultiWriter(w, t))
	return t.count.Load(), err
}

// exportFile writes under a name of its own, and gives the file its name when
// it is whole and on the disk: a stick is pulled out early.
func exportFile(ctx context.Context, a *app, source, name string, force bool) (written int64, err error) {
	if err := mayWrite(name, force); err != nil {
		return 0, err
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return 0, fmt.Errorf("write the bundle: %w", err)
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name()) //nolint:errcheck // the first error is the one that counts
		}
	}()
	if written, err = exportTo(ctx, a, source, f); err != nil {
		return written, err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return written, fmt.Errorf("write the bundle: %w", err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return written, fmt.Errorf("write the bundle: %w", err)
	}
	return written, syncFolder(filepath.Dir(name))
}

// mayWrite keeps export from replacing what it should not: a file without a
// word, and a device or a folder ever.
func mayWrite(name string, force bool) error {
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("write the bundle: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("write the bundle: %s is not a regular file; name one, or write - for a pipe", name)
	case !force:
		return fmt.Errorf("write the bundle: %s is there already; choose another name, or use --force", name)
	}
	return nil
}

// syncFolder makes a new name in a folder last.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	defer d.Close()
	// Not every file system of a stick can do it.
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("write the bundle: %w", err)
	}
	return nil
}
