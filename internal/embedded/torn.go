package embedded

import (
	"log/slog"
	"os"
	"path/filepath"
)

// removeTorn removes table definitions of length zero, which a full disk leaves behind
// where a table was being created and with which ClickHouse never starts again. There
// is nothing in them and the table was never there: migrations make it anew.
func removeTorn(folder string, log *slog.Logger) {
	for _, pattern := range []string{"data/metadata/*.sql", "data/metadata/*/*.sql", "data/store/*/*/*.sql"} {
		paths, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			continue // only a malformed pattern does this
		}
		for _, path := range paths {
			if info, err := os.Lstat(path); err != nil || info.Size() > 0 || !info.Mode().IsRegular() {
				continue
			}
			if err := os.Remove(path); err != nil {
				log.Error("a table's definition is empty and cannot be removed", "file", path, "error", err)
				continue
			}
			log.Warn("a table's definition was empty, as a full disk leaves it; it is removed", "file", path)
		}
	}
}
