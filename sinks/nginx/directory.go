package nginx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

// add writes a list unless it is there already: its name is a hash of its content.
func (d directory) add(file File) error {
	info, err := os.Stat(filepath.Join(d.path, file.Name))
	if err == nil && info.Mode().IsRegular() && info.Size() == int64(len(file.Content)) {
		return nil
	}
	return d.write(file.Name, file.Content)
}

// read is a file's content, empty where there is none.
func (d directory) read(name string) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(d.path, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return content, err
}

// sweep removes what an interrupted write left and the versions that keep does
// not name, with nginx's binary copies of them. Nobody else's file is touched.
func (d directory) sweep(keep map[string]bool) error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("nginx directory %s: %w", d.path, err)
	}
	var failed error
	for _, entry := range entries {
		name := entry.Name()
		if !ours(name) || keep[strings.TrimSuffix(strings.TrimSuffix(name, ".tmp"), ".bin")] {
			continue
		}
		if err := os.Remove(filepath.Join(d.path, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = fmt.Errorf("nginx directory %s: %w", d.path, err)
		}
	}
	return failed
}

// ours recognises versioned files, their binary copies, and temporary ones.
func ours(name string) bool {
	if strings.HasPrefix(name, temporary) {
		return true
	}
	for _, stem := range []string{"clients4-", "clients6-", "decisions-"} {
		rest, ok := strings.CutPrefix(name, stem)
		if ok && len(rest) > 16 && strings.Trim(rest[:16], "0123456789abcdef") == "" && rest[16] == '.' {
			return true
		}
	}
	return false
}
