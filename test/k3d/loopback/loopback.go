// SPDX-License-Identifier: Apache-2.0

// Package loopback finds ports for test servers that stop and come back on the
// same address. It is never part of the product.
package loopback

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below Linux's range for outgoing connections (32768 and
// up): while a server is stopped, no connection of another process can be given
// its port, so the server finds it free when it comes back.
const (
	firstPort = 16000
	lastPort  = 32000
)

// FreePort names a port of 127.0.0.1 that nobody listens on at this moment.
func FreePort() (int, error) {
	var last error
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			last = err
			continue
		}
		if err := listener.Close(); err != nil {
			return 0, fmt.Errorf("release port %d: %w", port, err)
		}
		return port, nil
	}
	return 0, fmt.Errorf("find a free port on 127.0.0.1 between %d and %d: %w", firstPort, lastPort, last)
}
