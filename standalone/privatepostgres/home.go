package privatepostgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

const (
	elsewhereName = "elsewhere" // the link to where the data really is
	systemFolder  = "/var/lib/dealwright"
)

// home is the folder that Postgres works in: the one we were given or, when its account cannot enter that, one elsewhere.
type home struct {
	given        string
	dir          string
	data         string
	log          string
	socketFolder string
}

// makeFolder makes the folder and returns its real path. Others may pass through it (and not list it), since
// Postgres may run as another account; what is private lies deeper.
func makeFolder(path string) (string, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", fmt.Errorf("make the folder: %w", err)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find the folder %s: %w", path, err)
	}
	resolved, err := filepath.EvalSymlinks(absolute)
	if err != nil {
		return "", fmt.Errorf("find the folder %s: %w", path, err)
	}
	if os.Geteuid() != 0 {
		return resolved, nil
	}
	if err := os.Chmod(resolved, 0o711); err != nil {
		return "", fmt.Errorf("open the folder to postgres' account: %w", err)
	}
	return resolved, nil
}

// lockFolder makes us the one process that uses the folder. The kernel lets go of the lock when we die, however we die.
func lockFolder(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(lockedBy(dir, path, err), file.Close())
	}
	if err := writeOwner(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// unlockFolder lets go of the lock by name: closing the file is not enough while another goroutine starts a process, which
// has a copy of it for a moment.
func unlockFolder(lock *os.File) error {
	return errors.Join(syscall.Flock(int(lock.Fd()), syscall.LOCK_UN), lock.Close())
}

func lockedBy(dir, path string, cause error) error {
	if !errors.Is(cause, syscall.EWOULDBLOCK) {
		return fmt.Errorf("lock the folder: %w", cause)
	}
	owner, err := os.ReadFile(path)
	if err != nil {
		owner = []byte("unknown")
	}
	return fmt.Errorf("the folder %s is in use by another dealwright (process %s); stop that, or use another folder (DEALWRIGHT_DATA)",
		dir, strings.TrimSpace(string(owner)))
}

func writeOwner(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return fmt.Errorf("note the owner of the folder: %w", err)
	}
	if _, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("note the owner of the folder: %w", err)
	}
	return nil
}

// dataOf is where the data of a folder is, wherever that may be; it need not exist.
func dataOf(dir string) string {
	if target, err := os.Readlink(filepath.Join(dir, elsewhereName)); err == nil {
		dir = target
	}
	return filepath.Join(dir, "data")
}

func findHome(dir string, runAs account) (*home, error) {
	place, err := homeFolder(dir, runAs)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(place, "data")
	if owner, found := ownerOf(data); found && owner != runAs.uid {
		return nil, fmt.Errorf("the data in %s belongs to user id %d, and this process is user id %d: "+
			"start as that user or as root, or use another folder (DEALWRIGHT_DATA)", data, owner, os.Geteuid())
	}
	return &home{given: dir, dir: place, data: data, log: filepath.Join(place, "postgres.log")}, nil
}

func homeFolder(dir string, runAs account) (string, error) {
	link := filepath.Join(dir, elsewhereName)
	target, err := os.Readlink(link)
	if err == nil {
		return target, checkElsewhere(link, target)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("find the data: %w", err)
	}
	if runAs.canEnter(dir) {
		return dir, nil
	}
	return moveElsewhere(link, runAs)
}

func checkElsewhere(link, target string) error {
	if _, err := os.Stat(target); err != nil {
		return fmt.Errorf("the data of %s should be in %s: %w (remove the link to start empty)", filepath.Dir(link), target, err)
	}
	return nil
}

// moveElsewhere makes a folder that the account can enter. Its name is random, so that removing the given folder also
// forgets the data: the next start must not find that of a deployment long gone.
func moveElsewhere(link string, runAs account) (string, error) {
	if err := os.MkdirAll(systemFolder, 0o755); err != nil {
		return "", fmt.Errorf("user %s cannot enter %s, and no other folder can be made: %w", runAs.name, filepath.Dir(link), err)
	}
	target, err := os.MkdirTemp(systemFolder, "postgres-")
	if err != nil {
		return "", fmt.Errorf("make a folder that user %s can enter: %w", runAs.name, err)
	}
	if err := os.Chmod(target, 0o711); err != nil {
		return "", fmt.Errorf("open %s to user %s: %w", target, runAs.name, err)
	}
	if !runAs.canEnter(target) {
		return "", fmt.Errorf("user %s can enter neither %s nor %s; use a folder that it can enter (DEALWRIGHT_DATA)",
			runAs.name, filepath.Dir(link), target)
	}
	if err := os.Symlink(target, link); err != nil {
		return "", fmt.Errorf("note where the data is: %w", err)
	}
	return target, nil
}

// makeSocketFolder makes the folder of the socket: beside the data, or when that path is too long for a socket, a short
// one in the temporary folder, with a link to it so that the next start can remove it.
func (h *home) makeSocketFolder(owner account) error {
	beside := filepath.Join(h.dir, "socket")
	if err := removeSocketFolder(beside); err != nil {
		return err
	}
	h.socketFolder = beside
	if len(beside)+len("/.s.PGSQL."+socketPort+".lock") > longestSocketPath() {
		short, err := os.MkdirTemp("/tmp", "dealwright-")
		if err != nil {
			return fmt.Errorf("make a short folder for the socket: %w", err)
		}
		if err := os.Symlink(short, beside); err != nil {
			return fmt.Errorf("note where the socket is: %w", err)
		}
		h.socketFolder = short
	}
	if err := os.MkdirAll(h.socketFolder, 0o700); err != nil {
		return fmt.Errorf("make the folder of the socket: %w", err)
	}
	return owner.own(h.socketFolder)
}

// removeSocketFolder clears what an earlier run left: socket files of a server that is gone only mislead.
func removeSocketFolder(path string) error {
	if target, err := os.Readlink(path); err == nil && filepath.Dir(target) == "/tmp" {
		if err := os.RemoveAll(target); err != nil {
			return fmt.Errorf("remove the old socket: %w", err)
		}
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove the old socket: %w", err)
	}
	return nil
}

// longestSocketPath is what the kernel allows, without the closing zero.
func longestSocketPath() int {
	if runtime.GOOS == "linux" {
		return 107
	}
	return 103
}

// remove deletes all that Start made in the folder, but not the folder.
func (h *home) remove() error {
	err := removeSocketFolder(filepath.Join(h.dir, "socket"))
	for _, name := range []string{"data", "data.new", "postgres.log", "binaries"} {
		err = errors.Join(err, os.RemoveAll(filepath.Join(h.dir, name)))
	}
	if h.dir != h.given {
		err = errors.Join(err, os.RemoveAll(h.dir), os.Remove(filepath.Join(h.given, elsewhereName)))
	}
	return errors.Join(err, os.Remove(filepath.Join(h.given, "lock")))
}
