package privatepostgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// account is who Postgres runs as.
type account struct {
	uid, gid int
	name     string
	switched bool // we are somebody else (root), and must become this account
}

// accountFor picks who runs the Postgres of this folder: ourselves, or when we are root, the owner of the data that
// is there, else "postgres", else "nobody".
func accountFor(dir string) (account, error) {
	if os.Geteuid() != 0 {
		return currentAccount()
	}
	if owner, found := ownerOf(dataOf(dir)); found && owner != 0 {
		return accountOf(strconv.Itoa(owner))
	}
	for _, name := range []string{"postgres", "nobody"} {
		if known, err := user.Lookup(name); err == nil {
			return accountOf(known.Uid)
		}
	}
	return account{}, errors.New("postgres does not run as root, and there is neither a user 'postgres' nor 'nobody' to run it as; " +
		"add one (useradd --system postgres) or start as an ordinary user")
}

func currentAccount() (account, error) {
	current, err := user.Current()
	if err != nil {
		return account{}, fmt.Errorf("who runs this process: %w", err)
	}
	return account{uid: os.Geteuid(), gid: os.Getegid(), name: current.Username}, nil
}

func accountOf(uid string) (account, error) {
	known, err := user.LookupId(uid)
	if err != nil {
		return account{}, fmt.Errorf("the account %s, which owns the data: %w", uid, err)
	}
	numericUID, err := strconv.Atoi(known.Uid)
	if err != nil {
		return account{}, fmt.Errorf("user id of %s: %w", known.Username, err)
	}
	numericGID, err := strconv.Atoi(known.Gid)
	if err != nil {
		return account{}, fmt.Errorf("group id of %s: %w", known.Username, err)
	}
	return account{uid: numericUID, gid: numericGID, name: known.Username, switched: true}, nil
}

// command prepares a program to run as the account in a group of its own, so that a Ctrl-C in the terminal reaches us
// and not Postgres: we end it in our order. The session stays ours.
func (a account) command(path string, args ...string) *exec.Cmd {
	command := exec.Command(path, args...) //nolint:noctx // Postgres outlives the call that starts it; runToEnd minds the context of the rest
	command.Env = environment()
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a.switched {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)} //nolint:gosec // ids of accounts fit
	}
	return command
}

// environment is ours without what changes the meaning of Postgres' own arguments.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "PG") || strings.HasPrefix(variable, "LC_") || strings.HasPrefix(variable, "LANG")
	})
}

// canEnter tells whether the account can work in the folder. It tries, since permissions are more than mode bits.
func (a account) canEnter(dir string) bool {
	if !a.switched {
		return true
	}
	probe := a.command("/bin/sh", "-c", "cd .")
	probe.Dir = dir
	return probe.Run() == nil
}

// own makes the account the owner of the tree.
func (a account) own(tree string) error {
	if !a.switched {
		return nil
	}
	return filepath.WalkDir(tree, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, a.uid, a.gid) //nolint:gosec // links are not followed, and the tree is ours
	})
}

func ownerOf(path string) (uid int, found bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	status, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(status.Uid), true
}
