// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/edgeagent/edgeagent/internal/verify/attest"
)

// attestFlags are what the commands share that sign on a person's machine.
type attestFlags struct {
	repo string
	attest.Options
}

func (f *attestFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.repo, "repo", ".", "the Git repository, or a directory in its work tree")
	cmd.Flags().StringVar(&f.Ref, "ref", "", "the ref that nodes follow, short or full (default what trust init noted, else main)")
	cmd.Flags().StringVar(&f.Introduction, "introduction", "", "the nodes' trust.introduction (default from the trust file or git config edgeagent.introduction)")
}

func (f *attestFlags) addKey(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Key.File, "key", "", "the SSH key to sign with, or its public half (default what git signs with, else a fitting key of ssh-agent)")
	cmd.Flags().StringVar(&f.As, "as", "", "sign as this principal of the trust file")
	cmd.Flags().BoolVar(&f.Replace, "replace", false, "take the place of a statement that is there")
}

// open finds the repository, and what only this machine knows.
func (f *attestFlags) open(a *app) (*attest.Repository, error) {
	f.Now, f.Key.Agent, f.Key.Passphrase = a.now(), os.Getenv("SSH_AUTH_SOCK"), passphrase
	return attest.Open(f.repo)
}

// passphrase asks on the terminal, wherever the standard input comes from, and
// shows nothing of what is typed. An echo that cannot be switched off ends it.
func passphrase(file string) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%s has a passphrase, and there is no terminal to ask for it; add the key to ssh-agent", file)
	}
	defer tty.Close()
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("ask for the passphrase of %s: %v", file, err)
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	silent.Lflag |= unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, &silent); err != nil {
		return nil, fmt.Errorf("ask for the passphrase of %s: %v", file, err)
	}
	defer unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, before) //nolint:errcheck // the terminal is the person's again
	fmt.Fprintf(tty, "Passphrase of %s: ", escape(file))
	line := make([]byte, 1024)
	n, err := tty.Read(line)
	fmt.Fprintln(tty)
	if err != nil || n == 0 {
		return nil, errors.New("no passphrase was given")
	}
	return bytes.TrimRight(line[:n], "\r\n"), nil
}
