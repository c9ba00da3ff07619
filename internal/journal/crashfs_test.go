// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"modernc.org/libc"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// crashFS is the file system of SQLite with a log of what was written, so that
// a power cut can be played: what was not synced may be lost, wholly or in part.
type crashFS struct {
	mu       sync.Mutex
	on       bool
	ops      []fsOp
	failSync int // the sync that fails, counted down; 0: none
	origin   uintptr
	methods  map[uintptr]uintptr // our copy → the original
	copies   map[uintptr]uintptr // and back
	names    map[uintptr]string  // of open files
	kept     []any
	opened   int // databases
}

type fsOp struct {
	path   string
	kind   fsKind
	offset int64 // or size
	data   []byte
}

type fsKind int

const (
	fsWrite fsKind = iota
	fsTruncate
	fsSync
	fsDelete
)

// SQLite's file systems are registered once per process.
var recorded = sync.OnceValue(func() *crashFS {
	if _, err := sqlite.OFDLocking(true); err != nil {
		panic(err) // as openDatabase does: later would be too late
	}
	c := &crashFS{methods: map[uintptr]uintptr{}, copies: map[uintptr]uintptr{}, names: map[uintptr]string{}}
	tls := libc.NewTLS()
	c.origin = lib.Xsqlite3_vfs_find(tls, 0)
	own := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(lib.Tsqlite3_vfs{})))
	vfs := at[lib.Tsqlite3_vfs](own)
	*vfs = *at[lib.Tsqlite3_vfs](c.origin)
	name, err := libc.CString("crashfs")
	if err != nil {
		panic(err)
	}
	vfs.FzName, vfs.FpNext = name, 0
	vfs.FxOpen, vfs.FxDelete = c.function(c.open), c.function(c.remove)
	if lib.Xsqlite3_vfs_register(tls, own, 0) != lib.SQLITE_OK {
		panic("crashfs was not registered")
	}
	return c
})

// at is the value at an address of SQLite's memory, which Go does not move.
func at[T any](address uintptr) *T { return *(**T)(unsafe.Pointer(&address)) }

// function is the address by which SQLite calls a Go function. SQLite's memory
// is not seen by the garbage collector, so the function is kept here, too.
func (c *crashFS) function(f any) uintptr {
	c.kept = append(c.kept, f)
	type words struct{ _, data uintptr }
	return (*words)(unsafe.Pointer(&f)).data
}

// call is the Go function behind an address of SQLite's.
func call[F any](address uintptr) F { return *(*F)(unsafe.Pointer(&address)) }

func (c *crashFS) original(file uintptr) *lib.Tsqlite3_io_methods {
	return at[lib.Tsqlite3_io_methods](c.methods[at[lib.Tsqlite3_file](file).FpMethods])
}

func (c *crashFS) log(op fsOp) {
	if c.on {
		c.ops = append(c.ops, op)
	}
}

func (c *crashFS) open(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	rc := call[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](at[lib.Tsqlite3_vfs](c.origin).FxOpen)(
		tls, c.origin, name, file, flags, out)
	f := at[lib.Tsqlite3_file](file)
	if rc != lib.SQLITE_OK || f.FpMethods == 0 {
		return rc
	}
	own := c.copies[f.FpMethods]
	if own == 0 {
		own = libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(lib.Tsqlite3_io_methods{})))
		m := at[lib.Tsqlite3_io_methods](own)
		*m = *at[lib.Tsqlite3_io_methods](f.FpMethods)
		m.FxWrite, m.FxSync, m.FxTruncate = c.function(c.write), c.function(c.sync), c.function(c.truncate)
		c.copies[f.FpMethods], c.methods[own] = own, f.FpMethods
	}
	f.FpMethods = own
	c.names[file] = libc.GoString(name)
	if flags&lib.SQLITE_OPEN_MAIN_DB != 0 {
		c.opened++
	}
	return rc
}

func (c *crashFS) write(tls *libc.TLS, file, buffer uintptr, n int32, offset int64) int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log(fsOp{path: c.names[file], kind: fsWrite, offset: offset, data: slices.Clone(unsafe.Slice(at[byte](buffer), n))})
	return call[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](c.original(file).FxWrite)(tls, file, buffer, n, offset)
}

func (c *crashFS) truncate(tls *libc.TLS, file uintptr, size int64) int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log(fsOp{path: c.names[file], kind: fsTruncate, offset: size})
	return call[func(*libc.TLS, uintptr, int64) int32](c.original(file).FxTruncate)(tls, file, size)
}

func (c *crashFS) sync(tls *libc.TLS, file uintptr, flags int32) int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failSync > 0 {
		if c.failSync--; c.failSync == 0 {
			return lib.SQLITE_IOERR_FSYNC
		}
	}
	c.log(fsOp{path: c.names[file], kind: fsSync})
	return call[func(*libc.TLS, uintptr, int32) int32](c.original(file).FxSync)(tls, file, flags)
}

func (c *crashFS) remove(tls *libc.TLS, vfs, name uintptr, syncDir int32) int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log(fsOp{path: libc.GoString(name), kind: fsDelete})
	return call[func(*libc.TLS, uintptr, uintptr, int32) int32](at[lib.Tsqlite3_vfs](c.origin).FxDelete)(tls, c.origin, name, syncDir)
}

// cutPower writes to a directory what a disk may hold after the first n
// operations: everything that was synced, and of the rest what survives says.
func (c *crashFS) cutPower(t *testing.T, n int, dir string, survives func(op int) bool) {
	t.Helper()
	synced := map[string]int{}
	for i, op := range c.ops[:n] {
		if op.kind == fsSync {
			synced[op.path] = i
		}
	}
	files := map[string][]byte{}
	for i, op := range c.ops[:n] {
		last, ok := synced[op.path]
		if op.kind == fsSync || (!ok || i > last) && op.kind != fsDelete && !survives(i) {
			continue
		}
		file := files[op.path]
		switch op.kind {
		case fsDelete:
			delete(files, op.path)
			continue
		case fsTruncate:
			file = append(file, make([]byte, max(0, int(op.offset)-len(file)))...)[:op.offset]
		case fsWrite:
			end := int(op.offset) + len(op.data)
			file = append(file, make([]byte, max(0, end-len(file)))...)
			copy(file[op.offset:], op.data)
		}
		files[op.path] = file
	}
	for path, data := range files {
		check(t, os.WriteFile(filepath.Join(dir, filepath.Base(path)), data, 0o600))
	}
}
