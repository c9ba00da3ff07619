// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
)

// switchSource is laid beside the mutated files. One mutant is on at a time; all
// that are met are written down when that is asked for.
const switchSource = `package PACKAGE

import (
	"cmp"
	"os"
	"strconv"
	"sync"
)

var (
	mutationID, _ = strconv.Atoi(os.Getenv("MUTATION_ID"))
	mutationMet   sync.Map
)

func mutationOn(id int) bool {
	if path := os.Getenv("MUTATION_MET"); path != "" {
		if _, known := mutationMet.LoadOrStore(id, true); !known {
			if f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
				f.WriteString(strconv.Itoa(id) + "\n")
				f.Close()
			}
		}
	}
	return id == mutationID
}

func mutationNot(id int, b bool) bool { return mutationOn(id) != b }

func mutationNoError(id int, err error) error {
	if mutationOn(id) {
		return nil
	}
	return err
}

func mutationLess[T cmp.Ordered](id int, a, b T) bool         { return a < b || mutationOn(id) && a == b }
func mutationLessEqual[T cmp.Ordered](id int, a, b T) bool    { return a < b || !mutationOn(id) && a == b }
func mutationGreater[T cmp.Ordered](id int, a, b T) bool      { return a > b || mutationOn(id) && a == b }
func mutationGreaterEqual[T cmp.Ordered](id int, a, b T) bool { return a > b || !mutationOn(id) && a == b }
`

func writeOverlay(path string, replace map[string]string) error {
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}
