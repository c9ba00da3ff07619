// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/yaml"

	"github.com/edgeagent/edgeagent/internal/localapi"
)

// app is what all commands share: where they read and print, and the global flags.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time
	socket         string
	output         string
	noColor        bool
	started        bool // a command has begun to work
}

func (a *app) client() *localapi.Client { return localapi.NewClient(a.socket) }

// page is how text is to be printed on stdout.
func (a *app) page() page {
	return page{now: a.now(), color: !a.noColor && isTerminal(a.stdout) && os.Getenv("TERM") != "dumb"}
}

// present prints a value: for programs as it came over the wire, for people by
// text. What people see has no control characters in it, whoever wrote it.
func present[T any](a *app, value T, text func(page, io.Writer, T) error) error {
	if a.output != "text" {
		return encode(a.stdout, a.output, value)
	}
	safe, err := escaped(value)
	if err != nil {
		return err
	}
	return text(a.page(), a.stdout, safe)
}

// done is the answer of commands that have nothing to report but success.
type done struct {
	Message string `json:"message"`
}

// say prints that it was done, and what comes next.
func (a *app) say(message string) error {
	return present(a, done{message}, func(_ page, w io.Writer, d done) error {
		_, err := fmt.Fprintln(w, d.Message)
		return err
	})
}

func encode(w io.Writer, form string, value any) error {
	var body []byte
	var err error
	if form == "yaml" {
		body, err = yaml.Marshal(value)
	} else if body, err = json.MarshalIndent(value, "", "  "); err == nil {
		body = append(body, '\n')
	}
	if err != nil {
		return fmt.Errorf("print as %s: %v", form, err)
	}
	_, err = w.Write(body)
	return err
}

// isTerminal reports whether a person is likely to look at w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
