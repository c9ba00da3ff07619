// SPDX-License-Identifier: Apache-2.0

package bundle

// compact says which neighbours of a chain, the oldest first, become one bundle:
// a pair does once it is no larger than everything after it. So
//   - the list stays short: of any two neighbours the sum is larger than the
//     rest, the rest at least halves with every pair, and a chain has no more
//     than two bundles for each doubling of its size;
//   - a node that was away never downloads more than twice what it missed: a
//     bundle that it has in part is no larger than the ones after it;
//   - the full bundle, the first of the chain, is written anew when what came
//     after it outweighs it.
//
// Groups are counts of neighbours, in order; 1 stays as it is.
func compact(sizes []int64) []int {
	groups := make([]int, len(sizes))
	for i := range groups {
		groups[i] = 1
	}
	sizes = append([]int64(nil), sizes...)
	for i := 0; i+1 < len(sizes); {
		var after int64
		for _, size := range sizes[i+2:] {
			after += size
		}
		pair := sizes[i] + sizes[i+1]
		if pair > after {
			i++
			continue
		}
		sizes[i], groups[i] = pair, groups[i]+groups[i+1]
		sizes = append(sizes[:i+1], sizes[i+2:]...)
		groups = append(groups[:i+1], groups[i+2:]...)
	}
	return groups
}
