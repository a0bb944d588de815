package lapi

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Key is one bouncer that may ask.
type Key struct {
	Name    string           `json:"name"`
	Hash    string           `json:"hash"`            // SHA-256 of the key, in hex; the key itself is kept nowhere
	Sites   []string         `json:"sites,omitempty"` // what it guards; empty is every site
	Types   []schemas.Action `json:"types"`           // what it can do
	Created time.Time        `json:"created"`
}

// Bounds of the keys.
const (
	maxKeys     = 10_000
	maxKeyName  = 64
	maxKeySites = schemas.MaxEventSites
	maxKeysFile = 64 << 20
)

// Keys are the bouncers that may ask, in a file that a command changes while a server
// reads it. Safe for concurrent use.
type Keys struct {
	path string

	mu     sync.Mutex
	stamp  os.FileInfo // of what was read; nil before that
	byHash map[string]*Key
	list   []Key
}

// OpenKeys are those in a file, which need not be there.
func OpenKeys(path string) *Keys { return &Keys{path: path} }

// All are the keys, by name.
func (k *Keys) All() ([]Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := k.read()
	return slices.Clone(k.list), err
}

// find is the bouncer that a key belongs to; nil if none.
func (k *Keys) find(key string) (*Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	// What cannot be read leaves what was read before: a bouncer must not let go of
	// everything because of a disk.
	err := k.read()
	return k.byHash[hashOf(key)], err
}

// Add makes a bouncer and returns its key, which is not shown again.
func (k *Keys) Add(name string, sites []string, types []schemas.Action, now time.Time) (key string, err error) {
	if err := checkKeyName(name); err != nil {
		return "", err
	}
	if len(sites) > maxKeySites {
		return "", fmt.Errorf("bouncer %s: %d sites, at most %d", name, len(sites), maxKeySites)
	}
	if len(types) == 0 {
		types = []schemas.Action{schemas.Block, schemas.Challenge}
	}
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	key = base64.RawURLEncoding.EncodeToString(random)
	return key, k.change(func(list []Key) ([]Key, error) {
		if slices.ContainsFunc(list, func(o Key) bool { return o.Name == name }) {
			return nil, fmt.Errorf("there is a bouncer %s already: weir bouncers rm %s first, or take another name", name, name)
		}
		if len(list) >= maxKeys {
			return nil, fmt.Errorf("%d bouncers, at most %d: weir bouncers rm those that are gone", len(list), maxKeys)
		}
		return append(list, Key{Name: name, Hash: hashOf(key), Sites: sites, Types: types, Created: now.UTC().Truncate(time.Second)}), nil
	})
}

// Remove takes a bouncer's key away: from now on it is refused.
func (k *Keys) Remove(name string) error {
	return k.change(func(list []Key) ([]Key, error) {
		left := slices.DeleteFunc(slices.Clone(list), func(o Key) bool { return o.Name == name })
		if len(left) == len(list) {
			return nil, fmt.Errorf("there is no bouncer %q; weir bouncers list shows them", name)
		}
		return left, nil
	})
}

func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key)) // of 256 random bits: nothing to slow a guess down for
	return hex.EncodeToString(sum[:])
}

func checkKeyName(name string) error {
	if name == "" || len(name) > maxKeyName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		return fmt.Errorf("bouncer %q: want a name of at most %d letters, digits, '.', '_', '-'", name, maxKeyName)
	}
	return nil
}

// read reads the file again where it is another than before.
func (k *Keys) read() error {
	info, err := os.Stat(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		k.stamp, k.byHash, k.list = nil, nil, nil
		return nil
	}
	if err != nil {
		return fmt.Errorf("bouncers' keys: %w", err)
	}
	if k.stamp != nil && os.SameFile(k.stamp, info) && k.stamp.ModTime().Equal(info.ModTime()) && k.stamp.Size() == info.Size() {
		return nil
	}
	if info.Size() > maxKeysFile {
		return fmt.Errorf("bouncers' keys: %s is over %d bytes", k.path, maxKeysFile)
	}
	data, err := os.ReadFile(k.path)
	if err != nil {
		return fmt.Errorf("bouncers' keys: %w", err)
	}
	var list []Key
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("bouncers' keys: %s: %w; the bouncers known before stay", k.path, err)
	}
	k.stamp, k.list, k.byHash = info, list, make(map[string]*Key, len(list))
	for i := range list {
		k.byHash[list[i].Hash] = &list[i]
	}
	return nil
}

// change writes the file anew, by one rename.
func (k *Keys) change(f func([]Key) ([]Key, error)) (err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.read(); err != nil {
		return err
	}
	list, err := f(k.list)
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b Key) int { return strings.Compare(a.Name, b.Name) })
	data, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(k.path), ".bouncers-*") // of mode 0600
	if err != nil {
		return fmt.Errorf("bouncers' keys: %w", err)
	}
	defer os.Remove(file.Name())
	// Root makes a key for a weir that runs as somebody else.
	if info, err := os.Stat(filepath.Dir(k.path)); err == nil && os.Geteuid() == 0 {
		if dir, ok := info.Sys().(*syscall.Stat_t); ok {
			_ = file.Chown(int(dir.Uid), int(dir.Gid)) // at worst it cannot read it, and says so
		}
	}
	_, err = file.Write(append(data, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(file.Name(), k.path)
	}
	if err != nil {
		return fmt.Errorf("bouncers' keys: %w", err)
	}
	k.stamp = nil
	return nil
}
