// SPDX-License-Identifier: Apache-2.0

package localapi

// Bind is what Listen does before the group is let in.
var Bind = bind
