// SPDX-License-Identifier: Apache-2.0

package agent

// WatchFolder asks the kernel about a real folder.
var WatchFolder = watchFolder
