package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// LibraryVersion is the version of libchdb that weir is tested with.
const LibraryVersion = "26.7.3"

// LibraryEnv names the environment variable that says where libchdb.so is.
const LibraryEnv = "WEIR_LIBCHDB"

// ErrNoLibrary is wrapped by FindLibrary's error where there is no library.
var ErrNoLibrary = errors.New("the ClickHouse library is missing")

// FindLibrary returns the path of libchdb.so: what the environment variable
// WEIR_LIBCHDB names, or else libchdb-<version>/libchdb.so in weir's folder of
// the user's cache ($XDG_CACHE_HOME or $HOME/.cache), or else beside the system's
// libraries in /usr/local/lib/weir and /usr/lib/weir. The error says where it
// looked and how to get it.
func FindLibrary() (string, error) {
	if path := os.Getenv(LibraryEnv); path != "" {
		if err := checkLibrary(path); err != nil {
			return "", fmt.Errorf("%w: %s=%s: %v", ErrNoLibrary, LibraryEnv, path, err)
		}
		return path, nil
	}
	places := libraryPlaces()
	for _, path := range places {
		if checkLibrary(path) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: looked for %s; fetch it with `make setup`, or with "+
		"`npm install --prefix DIR @chdb/lib-linux-x64-gnu@%s-stable.1` and %s=DIR/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so",
		ErrNoLibrary, strings.Join(places, ", "), LibraryVersion, LibraryEnv)
}

func libraryPlaces() []string {
	name := "libchdb-" + LibraryVersion
	var places []string
	if cache, err := os.UserCacheDir(); err == nil {
		places = append(places, filepath.Join(cache, "weir", name, "libchdb.so"))
	}
	return append(places,
		filepath.Join("/usr/local/lib/weir", name, "libchdb.so"),
		filepath.Join("/usr/lib/weir", name, "libchdb.so"))
}

// checkLibrary refuses what cannot be the library before a child is started for
// it: dlopen's own messages name no remedy.
func checkLibrary(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return errors.Unwrap(err)
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return errors.Unwrap(err)
	}
	defer f.Close()
	var magic [4]byte
	if _, err := f.Read(magic[:]); err != nil || string(magic[:]) != "\x7fELF" {
		return errors.New("not a shared library (ELF)")
	}
	return nil
}
