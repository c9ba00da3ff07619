// SPDX-License-Identifier: Apache-2.0

package internal_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTrustPageExplainsEveryReason(t *testing.T) {
	want := reasonsOf(t, filepath.Join(root, "internal/gitops/reason.go"), "Verify.")
	if len(want) < 25 || !slices.Contains(want, "TrustStateLost") {
		t.Fatalf("the reasons of verify were not found: %v", want)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs/trust.md"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, explained(string(page))); diff != "" {
		t.Errorf("reasons in the table of docs/trust.md (-want +got):\n%s", diff)
	}
	if without := strings.ReplaceAll(string(page), "| `Fork` |", "| Fork |"); slices.Equal(want, explained(without)) {
		t.Error("a row that is not there is not missed")
	}
}
