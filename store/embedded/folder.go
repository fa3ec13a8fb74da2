//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// The data folder: its lock, its socket, and the names in it. Entry points: hold, folder.listen,
// folder.release, Find.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"stoa/problem"
)

// The names in a data folder.
const (
	lockName     = "stoa.lock"                 // held with flock: the holder's process id, a line end, the path of its socket
	socketName   = "stoa.sock"                 // other processes' way to the server
	databaseName = "db"                        // for its owner only, with any permissions of the data folder
	newSocket    = databaseName + "/stoa.sock" // stoa.sock before it is ready to be seen

	// documentsFile is the SQLite file. Versions of Stoa with another database refuse a folder with
	// a foreign .sqlite file, so that none of them begins anew here.
	documentsFile = databaseName + "/documents.v2.sqlite"
)

// maxSocketPath is the longest path of a Unix socket, in bytes: sun_path has 104 on macOS and
// FreeBSD (108 on Linux), and its last byte is 0.
const maxSocketPath = 103

// findTimeout bounds a connection to a server of this machine, made to see whether it is there.
const findTimeout = 2 * time.Second

// folder is a data folder that this process holds.
type folder struct {
	dir   string // absolute
	lock  *os.File
	short string // dir itself, or a stand-in for it: a symbolic link with a path that is short and plain

	standIn     string   // the temporary folder of the link; "" for none
	standInLock *os.File // keeps systemd-tmpfiles from removing standIn while it is used
}

// hold makes dir if it is missing and takes it for this process, until release. It returns Conflict
// if another server has it. It removes the files that a killed process left there.
func hold(dir string) (*folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	f := &folder{dir: dir}
	if f.lock, err = lockFolder(dir); err != nil {
		return nil, err
	}
	if err := f.tidy(); err != nil {
		f.release()
		return nil, fmt.Errorf("data folder %s: %w", dir, err)
	}
	return f, nil
}

// lockFolder takes dir's lock file. The kernel releases it at the end of the process, in any case.
func lockFolder(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("data folder: %w", err)
		}
		err = flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			pid, _, _ := readLock(f)
			f.Close()
			return nil, problem.New(problem.Conflict, "the data folder %s is in use by another server (process %s): stop that one, or choose another folder", dir, pid)
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		// A holder removes the file before it releases the lock: the file locked here may be gone.
		if same(f, path) {
			return f, nil
		}
		f.Close()
	}
}

func flock(f *os.File, how int) error {
	for {
		if err := syscall.Flock(int(f.Fd()), how); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func same(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(open, there)
}

// readLock returns the content of a lock file; "unknown" and "" before its holder has written it.
func readLock(r io.Reader) (pid, socket string, err error) {
	b, err := io.ReadAll(io.LimitReader(r, 4096))
	first, rest, _ := bytes.Cut(b, []byte("\n"))
	if len(first) == 0 {
		first = []byte("unknown")
	}
	return string(first), strings.TrimSuffix(string(rest), "\n"), err
}

// tidy removes a killed holder's files, and makes those of this process.
func (f *folder) tidy() error {
	_, socket, err := readLock(f.lock)
	if err != nil {
		return err
	}
	if link := filepath.Dir(socket); link != f.dir {
		// Only a link to this folder can be a stand-in for it.
		if target, err := os.Readlink(link); err == nil && target == f.dir {
			os.Remove(link)
			os.Remove(filepath.Dir(link))
		}
	}
	for _, name := range []string{socketName, newSocket} {
		if err := os.Remove(filepath.Join(f.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}

	database := filepath.Join(f.dir, databaseName)
	if err := os.MkdirAll(database, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(database, 0o700); err != nil {
		return err
	}
	if err := f.shorten(); err != nil {
		return err
	}
	if err := f.lock.Truncate(0); err != nil {
		return err
	}
	_, err = f.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"+f.path(socketName)+"\n"), 0)
	return err
}

// shorten finds a path to the folder that is short enough for a socket.
func (f *folder) shorten() error {
	f.short = f.dir
	if suits(f.dir) {
		return nil
	}
	temp, err := os.MkdirTemp("", "stoa-")
	if err != nil {
		return err
	}
	f.standIn, f.short = temp, filepath.Join(temp, "d")
	if !suits(f.short) {
		return fmt.Errorf("its path and that of the temporary folder %s are too long for a Unix socket (at most %d bytes): choose another", temp, maxSocketPath-len(newSocket)-1)
	}
	if f.standInLock, err = os.Open(temp); err != nil {
		return err
	}
	if err := flock(f.standInLock, syscall.LOCK_SH); err != nil {
		return fmt.Errorf("lock %s: %w", temp, err)
	}
	return os.Symlink(f.dir, f.short)
}

func suits(dir string) bool { return len(dir)+len("/"+newSocket) <= maxSocketPath }

// path returns the path of a file in the folder, through the stand-in if there is one.
func (f *folder) path(name string) string { return filepath.Join(f.short, name) }

// listen opens stoa.sock. At no moment can anybody but its owner use it.
func (f *folder) listen() (net.Listener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: f.path(newSocket), Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(f.path(newSocket), 0o600); err != nil {
		l.Close()
		return nil, err
	}
	if err := os.Rename(f.path(newSocket), f.path(socketName)); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// release gives the folder back. All its files must be closed.
func (f *folder) release() {
	os.Remove(filepath.Join(f.dir, socketName))
	if f.standIn != "" {
		os.Remove(f.short)
		os.Remove(f.standIn)
	}
	if f.standInLock != nil {
		f.standInLock.Close()
	}
	os.Remove(filepath.Join(f.dir, lockName))
	f.lock.Close()
}

// Find reports whether a server in another process serves the data folder dir, and returns its URI
// for the MongoDB driver. A folder that doesn't exist is served by nobody. A server that is just
// starting or closing counts as none: Open returns the error then.
func Find(dir string) (uri string, ok bool, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", false, fmt.Errorf("data folder: %w", err)
	}
	f, err := os.Open(filepath.Join(dir, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("data folder: %w", err)
	}
	defer f.Close()
	_, socket, err := readLock(f)
	if err != nil {
		return "", false, fmt.Errorf("data folder: %w", err)
	}
	// The holder may know the folder under another name: in a container, say.
	if suits(dir) {
		socket = filepath.Join(dir, socketName)
	}
	if socket == "" {
		return "", false, nil
	}

	ctx, cancel := context.WithTimeout(context.Background(), findTimeout)
	defer cancel()
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "unix", socket)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("reach the server of data folder %s: %w", dir, err)
	}
	c.Close()
	host := strings.ReplaceAll(url.QueryEscape(socket), "+", "%20") // every reader takes this for a space
	return "mongodb://" + host + "/?directConnection=true", true, nil
}
