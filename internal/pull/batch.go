// SPDX-License-Identifier: Apache-2.0

package pull

const (
	firstBatch = 64
	// mostAtOnce bounds a request: 256 ids are 12 kB.
	mostAtOnce = 256
	// enoughCuts is how often one object is asked for alone before it is said
	// that the link does not let it through.
	enoughCuts = 3
)

// batch is how many objects are asked for at once. It follows what the link
// lets through: a link that is cut after some kilobytes loses what is under way,
// and a request that cannot be answered in that many bytes is asked in vain.
type batch struct {
	size  int
	vain  int // answers in a row of which nothing could be kept
	alone int // of them, those for one object and nothing else
}

// whole grows the batch after an answer that came to its end.
func (b *batch) whole(asked int) {
	b.vain, b.alone = 0, 0
	if asked >= b.size {
		b.size = min(2*b.size, mostAtOnce)
	}
}

// cut fits it to an answer of which some objects came. Twice as many are asked
// for: an id costs fewer bytes than the rest of a connection that is not used.
func (b *batch) cut(came int) {
	b.vain, b.alone = 0, 0
	b.size = min(2*came, b.size)
}

// lost shrinks it after an answer of which nothing can be kept, and reports
// whether it is worth to ask again. After the first it stays: the connection may
// have been used before, with few bytes left of it.
func (b *batch) lost(asked int) bool {
	b.vain++
	switch {
	case b.vain == 1:
		return true
	case asked > 1:
		b.size = asked / 2
		return true
	}
	b.size = 1
	b.alone++
	return b.alone <= enoughCuts
}

// mute shrinks it after a request to which no byte came back: it may have been
// too long itself. One for a single object cannot be shorter.
func (b *batch) mute(asked int) bool {
	b.size = max(1, asked/8)
	return asked > 1
}

// died shrinks it after a process that ended in the middle of an answer: of what
// came nothing may have been kept, and the link may have ended both.
func (b *batch) died(asked int) {
	b.size = max(1, asked/2)
	if asked == 1 {
		b.alone = 1
	}
}

func (s *Source) recallBatch() batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := batch{size: firstBatch}
	if n := s.memory.Batch; n > 0 {
		b.size = min(n, mostAtOnce)
	}
	if n := s.memory.UnderWay; n > 0 { // until the next request is sent
		b.died(min(n, mostAtOnce))
	}
	return b
}

// underWay notes a request before it is sent, for a process that comes after
// one that died; 0 that there is none.
func (s *Source) underWay(asked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory.UnderWay = asked
	if asked > 0 {
		s.remember()
	}
}

func (s *Source) keepBatch(b batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory.Batch = b.size
}
