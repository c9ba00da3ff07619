// SPDX-License-Identifier: Apache-2.0

package render

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// What the agent and its worker say to each other: frames of four bytes of
// length and the content, which is a JSON message or the bytes of files.
//
//	agent → worker   job
//	worker → agent   question                (any number of times)
//	agent → worker   reply, then one frame of bytes for each file in it
//	worker → agent   question with an answer, then one message for each bundle,
//	                 and for each object one message and one frame of YAML
//
// The agent trusts no length and no count that the worker sends, and decodes
// nothing large at once: a list in JSON can take a hundred times its length.
const (
	maxQuestion = 4 << 20
	maxItem     = 64 << 10
	maxJob      = 8 << 20
)

// question asks for paths of the tree, or carries the answer: the last one.
type question struct {
	Op     string   `json:"op,omitempty"` // stat, list, read
	Paths  []string `json:"paths,omitempty"`
	Answer *answer  `json:"answer,omitempty"`
}

// reply is what the tree says: entries for stat and list; for read, which of
// the paths are there.
type reply struct {
	Entries []entry `json:"entries,omitempty"`
	Present []bool  `json:"present,omitempty"`
}

// answer is the worker's result, or the number of bundles and objects that
// follow it.
type answer struct {
	Error   *gitops.Error `json:"error,omitempty"`
	Partial bool          `json:"partial,omitempty"` // the closure was read, nothing was rendered
	Bundles int           `json:"bundles,omitempty"`
	Objects int           `json:"objects,omitempty"`
}

func writeFrame(w io.Writer, data []byte) error {
	var length [4]byte
	binary.BigEndian.PutUint32(length[:], uint32(len(data)))
	if _, err := w.Write(length[:]); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

func readFrame(r io.Reader, limit int) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if int64(n) > int64(limit) {
		return nil, fmt.Errorf("a frame of %d bytes where at most %d are allowed", n, limit)
	}
	data := make([]byte, n)
	_, err := io.ReadFull(r, data)
	return data, err
}

func writeMessage(w io.Writer, message any) error {
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return writeFrame(w, data)
}

func readMessage(r io.Reader, limit int, message any) error {
	data, err := readFrame(r, limit)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, message)
}
