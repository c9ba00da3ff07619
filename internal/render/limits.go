// SPDX-License-Identifier: Apache-2.0

package render

// Limits on what a revision may bring. They hold before anything is decoded
// where that is possible; the worker's own limits (process.go) are the
// backstop for what templates do.
const (
	maxInput     = 8 << 20  // bytes of all files that are read
	maxDocument  = 1 << 20  // bytes of one YAML document
	maxNodes     = 200_000  // YAML nodes of one document
	maxDepth     = 64       // nesting of one document
	maxOutput    = 16 << 20 // bytes of all canonical documents
	maxObjects   = 2_000    // objects of one source
	maxFiles     = 20_000   // paths that are looked at
	maxBundles   = 200      // documents of edgeagent.yaml
	maxPathDepth = 64       // segments of a path inside the repository
)
