package nginx

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// directory is the one that this package writes and nginx reads.
type directory struct {
	path string
	// step is called before each change, by name; an error of it stops the
	// change there, as a crash or a full disk would. nil in use.
	step func(name string) error
}

// temporary begins the names of files that are not complete.
const temporary = ".weir-"

func (d directory) before(name string) error {
	if d.step == nil {
		return nil
	}
	return d.step(name)
}

// write replaces a file: whoever reads the name, at any time and after any
// crash, finds the old content or the whole new one.
func (d directory) write(name string, content []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("nginx directory %s: write %s: %w", d.path, name, err)
		}
	}()
	if err := d.before("create " + name); err != nil {
		return err
	}
	f, err := os.CreateTemp(d.path, temporary+name+"-*")
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := d.before("fill " + name); err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := d.before("rename " + name); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(d.path, name)); err != nil {
		return err
	}
	return d.sync()
}

// sync makes renames last over a loss of power.
func (d directory) sync() error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// add writes a list unless it is there already, whole: its name is a hash of its content,
// and a disk that lost its power may have another.
func (d directory) add(file File) error {
	path := filepath.Join(d.path, file.Name)
	there, err := os.ReadFile(path)
	if err == nil && bytes.Equal(there, file.Content) {
		return nil
	}
	if err == nil {
		// nginx takes its binary copy of what was wrong for one of what comes in the same second.
		if err := os.Remove(path + ".bin"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("nginx directory %s: %w", d.path, err)
		}
	}
	return d.write(file.Name, file.Content)
}

// previousName is a second name for what current.conf was before a switch, from
// before the switch until nginx has tested it: taking a switch back needs no room
// on the disk, and one that was interrupted can be told.
const previousName = "previous.conf"

// switchTo makes content current.
func (d directory) switchTo(content []byte) error {
	current, previous := filepath.Join(d.path, CurrentName), filepath.Join(d.path, previousName)
	if err := d.before("link"); err != nil {
		return err
	}
	if _, err := os.Stat(current); errors.Is(err, fs.ErrNotExist) {
		if err := d.write(CurrentName, []byte(nothing)); err != nil {
			return err
		}
	}
	if err := os.Remove(previous); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("nginx directory %s: %w", d.path, err)
	}
	if err := os.Link(current, previous); err != nil {
		return fmt.Errorf("nginx directory %s: %w", d.path, err)
	}
	err := d.write(CurrentName, content)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		if spare := d.useSpare(content); spare == nil {
			return nil
		}
	}
	if err != nil {
		return errors.Join(err, d.rollback())
	}
	return nil
}

// spareName is a file of the size of current.conf that waits to become it: filling it anew takes no
// room, so that a full disk keeps nobody from renewing a lease or from lifting everything.
const spareName = "spare.conf"

// maxSpare bounds what is filled into it, in bytes: a file of any size has that much on all file systems.
const maxSpare = 4096

// useSpare makes content current without room for another file. It is the last current.conf but
// one, which nothing includes.
func (d directory) useSpare(content []byte) error {
	spare := filepath.Join(d.path, spareName)
	if d.same(spareName, CurrentName) || d.same(spareName, previousName) || len(content) > maxSpare {
		return fs.ErrInvalid
	}
	f, err := os.OpenFile(spare, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(int64(len(content))), f.Sync()); err != nil {
		return err
	}
	if err := os.Rename(spare, filepath.Join(d.path, CurrentName)); err != nil {
		return err
	}
	return d.sync()
}

// settle ends a switch that nginx accepted. Another weir on the same directory, which a person's
// panic off may be, has perhaps done so already.
func (d directory) settle() error {
	if err := d.before("settle"); err != nil {
		return err
	}
	previous := filepath.Join(d.path, previousName)
	var err error
	if d.same(previousName, CurrentName) {
		err = os.Remove(previous)
	} else {
		err = os.Rename(previous, filepath.Join(d.path, spareName))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// same reports whether two names are of one file, as an interrupted change may leave them.
func (d directory) same(one, other string) bool {
	a, err := os.Stat(filepath.Join(d.path, one))
	if err != nil {
		return false
	}
	b, err := os.Stat(filepath.Join(d.path, other))
	return err == nil && os.SameFile(a, b)
}

// rollback takes a switch back.
func (d directory) rollback() error {
	previous, current := filepath.Join(d.path, previousName), filepath.Join(d.path, CurrentName)
	if !d.same(previousName, CurrentName) {
		// What is taken back is the next spare file, which it may have been before.
		_ = os.Link(current, filepath.Join(d.path, spareName))
	}
	if err := os.Rename(previous, current); err != nil {
		return fmt.Errorf("nginx directory %s: take back: %w", d.path, err)
	}
	// Where both names are of one file, rename leaves both (POSIX).
	os.Remove(previous)
	return d.sync()
}

// sweepTemporary removes what interrupted writes left.
func (d directory) sweepTemporary() error {
	left, err := filepath.Glob(filepath.Join(d.path, temporary+"*"))
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// listName is the name of a versioned file.
var listName = regexp.MustCompile(`(?:clients4|clients6|tails4|regulars4|regulars6|paths[1-9]|decisions)-[0-9a-f]{16}\.(?:list|conf)`)

// inUse are the names of the lists that current.conf includes, directly or not.
func (d directory) inUse() []File {
	var files []File
	for next := []string{CurrentName}; len(next) > 0; next = next[1:] {
		content, err := os.ReadFile(filepath.Join(d.path, next[0]))
		if err != nil {
			continue
		}
		for _, name := range listName.FindAll(content, -1) {
			files = append(files, File{Name: string(name)})
			if filepath.Ext(string(name)) == ".conf" {
				next = append(next, string(name))
			}
		}
	}
	return files
}

// sweep removes the versions that keep does not name, with nginx's binary copies
// of them. Nobody else's file is touched.
func (d directory) sweep(keep ...[]File) error {
	kept := map[string]bool{}
	for _, files := range keep {
		for _, file := range files {
			kept[file.Name] = true
		}
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("nginx directory %s: %w", d.path, err)
	}
	var failed error
	for _, entry := range entries {
		name := listName.FindString(entry.Name())
		if name == "" || !strings.HasPrefix(entry.Name(), name) || kept[name] {
			continue
		}
		if err := os.Remove(filepath.Join(d.path, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = fmt.Errorf("nginx directory %s: %w", d.path, err)
		}
	}
	return failed
}
