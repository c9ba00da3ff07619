// SPDX-License-Identifier: Apache-2.0

// Package config owns the node's own file, /etc/edgeagent/config.yaml, with the
// pieces in config.d beside it: what its fields are, what they default to, and
// what is wrong with them, all at once, by file and line and with a remedy.
//
// The file says where to pull from and whom to trust. What runs on the node is
// said in Git and never here. The package reads files and changes none; it does
// not open the network, and it never prints a URL that carries credentials.
package config
