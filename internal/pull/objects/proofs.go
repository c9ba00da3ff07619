// SPDX-License-Identifier: Apache-2.0

package objects

import "sync"

// maxProofs is more than the number of sources that are pulled at one time.
const maxProofs = 256

// proofs remembers the tips whose lineage was walked and found whole, until
// something is taken out of the store. Without it a collection that runs for
// another source between the walk and Advance could leave a head that says more
// than is here, and nothing would ever look again.
type proofs struct {
	mu    sync.Mutex
	taken uint64 // how often something was taken out
	tips  map[id]struct{}
}

// begin is called before a walk, and what it returns given to end.
func (p *proofs) begin() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}

func (p *proofs) end(tip id, since uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken != since {
		return
	}
	if len(p.tips) >= maxProofs {
		clear(p.tips)
	}
	p.tips[tip] = struct{}{}
}

func (p *proofs) holds(tip id) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.tips[tip]
	return ok
}

// forget is called when something was taken out, before Advance may go on.
func (p *proofs) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken++
	clear(p.tips)
}
