// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"io"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Pack is a pack on its way in.
type Pack struct {
	// Shallow are the commits at which the server cut history off.
	Shallow []gitops.Hash
	// Wanted are the refs that were asked for by name.
	Wanted []Ref

	r       io.Reader
	packets *packReader // below r, nil where the pack comes without packets
	close   func() error
}

func (p *Pack) Read(b []byte) (int, error) { return p.r.Read(b) }

// Close ends the request, also where the pack was not read to its end.
func (p *Pack) Close() error { return p.close() }
