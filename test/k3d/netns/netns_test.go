// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/test/k3d/netns"
)

func TestMain(m *testing.M) {
	inside, err := netns.Enter()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if inside {
		os.Exit(reportInside())
	}
	os.Exit(m.Run())
}

// reportInside prints what a process in the namespace sees.
func reportInside() int {
	interfaces, err := net.Interfaces()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for _, i := range interfaces {
		fmt.Println("interface", i.Name, i.Flags&net.FlagUp != 0)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	conn, err := net.Dial("tcp", listener.Addr().String())
	fmt.Println("loopback", err == nil)
	if err == nil {
		conn.Close()
	}
	listener.Close()
	_, err = net.Dial("udp", "192.0.2.1:53")
	fmt.Println("route", err == nil)
	return 0
}

func TestIsolatedProcessHasOnlyLoopback(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	netns.Isolate(cmd)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("run isolated: %v\n%s", err, out)
	}
	got := string(out)
	for _, want := range []string{"interface lo true", "loopback true", "route false"} {
		if !strings.Contains(got, want) {
			t.Errorf("inside the namespace: want %q in\n%s", want, got)
		}
	}
	// Kernels with tunnel modules put their fallback devices into every
	// namespace, switched off; only lo may be on.
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "interface ") && strings.HasSuffix(line, " true\n") && !strings.HasPrefix(line, "interface lo ") {
			t.Errorf("another interface than lo is on:\n%s", got)
		}
	}
}

func TestEnterDoesNothingOutside(t *testing.T) {
	inside, err := netns.Enter()
	if inside || err != nil {
		t.Errorf("Enter() = %v, %v outside, want false and no error", inside, err)
	}
}
