// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os"
	"path/filepath"
)

// FindBinary names the controlplane program: EDGEAGENT_CONTROLPLANE, or
// bin/controlplane beside the nearest go.mod above the working directory.
func FindBinary() (string, error) {
	const remedy = "build it with `make controlplane`, or name it in EDGEAGENT_CONTROLPLANE"
	if path := os.Getenv("EDGEAGENT_CONTROLPLANE"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("find the control plane that EDGEAGENT_CONTROLPLANE names: %w; %s", err, remedy)
		}
		return filepath.Abs(path)
	}
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the control plane: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		_, noModule := os.Stat(filepath.Join(dir, "go.mod"))
		path := filepath.Join(dir, "bin", "controlplane")
		if _, err := os.Stat(path); err == nil && noModule == nil {
			return path, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find the control plane: no bin/controlplane in a module above %s; %s", start, remedy)
		}
	}
}
