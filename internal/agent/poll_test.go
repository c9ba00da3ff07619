// SPDX-License-Identifier: Apache-2.0

package agent_test

import "testing"

func TestFirstSync(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1", "b": "1"})
		w.ready("True", "Healthy")
	})
}
