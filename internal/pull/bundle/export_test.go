// SPDX-License-Identifier: Apache-2.0

package bundle

// Compact is compact.
var Compact = compact

// Before makes a run call f before each change of the directory.
func Before(o PublishOptions, f func(step string)) PublishOptions {
	o.before = f
	return o
}
