package statuspage

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// WriteFolder puts files into a folder for a web server: each whole or not at all, what
// has not changed left alone, in the order given. What else lies there stays. What a
// power failure takes is written anew when weir starts.
func WriteFolder(folder string, files []File) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("status page: %w", err)
	}
	for _, f := range files {
		if !filepath.IsLocal(f.Name) {
			return fmt.Errorf("status page: the file %q is not within its folder", f.Name)
		}
		path := filepath.Join(folder, filepath.FromSlash(f.Name))
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, f.Body) {
			continue
		}
		if err := makeFolders(folder, filepath.Dir(path)); err != nil {
			return err
		}
		if err := writeAtomic(path, f.Body, 0o644, false); err != nil {
			return err
		}
	}
	return nil
}

// makeFolders makes those down to dir that a web server, who is somebody else, may read
// whatever the umask says.
func makeFolders(top, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if dir != top {
		if err := makeFolders(top, filepath.Dir(dir)); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return fmt.Errorf("status page: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("status page: %w", err)
	}
	return nil
}
