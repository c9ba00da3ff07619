// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"sync"
	"time"

	"github.com/k3s-io/kine/pkg/drivers"
	"github.com/k3s-io/kine/pkg/drivers/sqlite"
	"github.com/k3s-io/kine/pkg/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// etcdVersion is what kine says it is. From 3.6 on the API server uses watch
// progress requests, as it does on k3s.
const etcdVersion = "3.6.11"

// maxRequest is etcd's limit of 1.5 MiB and room for gRPC's own bytes.
const maxRequest = 2 << 20

// serveStorage speaks etcd's protocol on a unix socket, from a SQLite file,
// until ctx ends. Only kine's SQLite driver is linked: its endpoint package
// would bring every database it knows.
func serveStorage(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("storage", flag.ContinueOnError)
	database := flags.String("database", "", "SQLite file that holds the cluster")
	listen := flags.String("listen", "", "unix socket to serve on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *database == "" || *listen == "" {
		return errors.New("--database and --listen are required")
	}

	// The driver closes the database when ctx ends, and says so through wg.
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_, backend, err := sqlite.New(ctx, &wg, &drivers.Config{
		Scheme: "sqlite",
		// k3s' own settings: WAL with synchronous NORMAL.
		DataSourceName:   *database + "?" + sqlite.DefaultParams,
		CompactInterval:  5 * time.Minute,
		CompactTimeout:   5 * time.Second,
		CompactMinRetain: 1000,
		CompactBatchSize: 1000,
		PollBatchSize:    500,
		PollInterval:     time.Second,
	})
	if err != nil {
		return fmt.Errorf("open %s: %w", *database, err)
	}
	if err := backend.Start(ctx); err != nil {
		return fmt.Errorf("start storage on %s: %w", *database, err)
	}
	if err := os.Remove(*listen); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the socket of an earlier run: %w", err)
	}
	listener, err := net.Listen("unix", *listen)
	if err != nil {
		return err
	}
	grpcServer := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxRequest), grpc.MaxSendMsgSize(math.MaxInt32),
		// The API server pings every 30 s. gRPC's own limit of one ping in
		// 5 minutes would end its connection, and every watch on it.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Hour, Timeout: 20 * time.Second}),
	)
	server.New(backend, "unix", 5*time.Second, etcdVersion).Register(grpcServer)
	go func() {
		<-ctx.Done()
		grpcServer.Stop()
	}()
	return grpcServer.Serve(listener)
}
