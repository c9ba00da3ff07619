// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"io"
	"slices"
)

// The protocol half has no exported names: it is tested from outside as it is
// used by the transports.
type (
	Abilities = abilities
	Lines     = lines
	Packet    = packet
)

const (
	Line, Flush, Delim, ResponseEnd = line, flush, delim, responseEnd

	MaxAbilities = maxAbilities
	MaxAside     = maxAside
	MaxHaves     = maxHaves
)

var (
	AppendLine     = appendLine
	ReadAbilities  = readAbilities
	LsRefsRequest  = lsRefsRequest
	ReadLsRefs     = readLsRefs
	FetchRequest   = fetchRequest
	V0Request      = v0Request
	NewPack        = newPack
	IsRefName      = isRefName
	ErrNotALine    = errNotALine
	ErrTooLong     = errTooLong
	AppendFlush    = appendFlush
	AppendDelim    = appendDelim
	V2, V0         = abilities{protocol: 2}, abilities{protocol: 0}
	OfferingAll    = abilities{protocol: 2, agent: "git/2", filter: true, shallow: true, refInWant: true}
	OldButSideband = abilities{agent: "git/1", sideband: true}
)

func NewLines(r io.Reader, limit int64) *Lines { return &lines{r: r, limit: limit} }

func (l *lines) Next() (Packet, []byte, error) { return l.next() }
func (l *lines) Raw() (Packet, []byte, error)  { return l.raw() }
func (l *lines) Room() int                     { return cap(l.buf) }

func (p *Pack) Answers(r Request) error { return p.answers(r) }

func (a abilities) Protocol() int   { return a.protocol }
func (a abilities) Agent() string   { return a.agent }
func (a abilities) Filter() bool    { return a.filter }
func (a abilities) Shallow() bool   { return a.shallow }
func (a abilities) RefInWant() bool { return a.refInWant }
func (a abilities) Said() []string  { return slices.Clone(a.said) }
