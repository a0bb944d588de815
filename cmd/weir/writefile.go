package main

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
)

// writeFile replaces a file in one step, so that a crash leaves the old or the new one
// whole. A link stays and what it leads to is replaced; a device or a pipe is written to,
// never replaced: who runs weir as root and gives it /dev/null still has that afterwards.
// A file is made for its user alone (mode 0600), whatever stood there before: most of what
// weir writes names addresses of people.
func writeFile(path string, write func(io.Writer) error) error {
	if at, err := filepath.EvalSymlinks(path); err == nil {
		path = at
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return writeDevice(path, write)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return unwrapPath(err)
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	if err = buffered(f, write); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return unwrapPath(err)
}

func writeDevice(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return unwrapPath(err)
	}
	err = buffered(f, write)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return unwrapPath(err)
}

func buffered(f *os.File, write func(io.Writer) error) error {
	w := bufio.NewWriter(f)
	if err := write(w); err != nil {
		return err
	}
	return w.Flush()
}
