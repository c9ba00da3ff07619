// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"io"
)

// answer reads an exchange under a guard, whose clock runs only in a Read.
type answer struct {
	exchange
	guard *guard
	got   int64
	over  bool
}

func newAnswer(x exchange, g *guard) *answer {
	g.pause()
	return &answer{exchange: x, guard: g}
}

func (a *answer) Read(p []byte) (int, error) {
	a.guard.resume()
	n, err := a.exchange.Read(p)
	a.guard.pause()
	a.got += int64(n)
	return n, err
}

// finish is called once the answer is of no more use.
func (a *answer) finish(whole bool) {
	if a.over {
		return
	}
	a.over = true
	a.guard.resume()
	a.done(whole)
}

// file is the content of a file that was asked for.
type file struct {
	*answer
	told *told
}

func (f *file) Read(p []byte) (int, error) { return f.told.Read(p) }

func (f *file) Close() error {
	f.finish(f.told.over)
	f.guard.end()
	return nil
}

var _ io.ReadCloser = (*file)(nil)
