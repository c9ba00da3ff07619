// SPDX-License-Identifier: Apache-2.0

package main

import "context"

// AcceptIdentity goes on under the node's new name.
func (c controller) AcceptIdentity(ctx context.Context) error {
	a, err := c.agent()
	if err != nil {
		return err
	}
	return a.AcceptIdentity(ctx)
}
