// SPDX-License-Identifier: Apache-2.0

// Package localapi is the unix socket between the daemon and the people on its
// node: the table of routes, the server, and the client that the command line
// uses. Both sides share the types of this package and of gitops.
//
// Whoever may open the socket may read; only root, and the user that the daemon
// runs as, may write. The kernel says who that is (SO_PEERCRED). The package
// decides nothing about sources itself: it hands every request to a Controller.
// A bundle on its way in lies in a folder of the server's own until the
// Controller has taken it.
// It never serves the environment, credentials or the data of Secrets.
package localapi
