package nginx

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Dump has nginx print the configuration that it runs, by the command that tests it with -T
// in the place of -t, and leaves out weir's own lists, which may be many megabytes.
func Dump(ctx context.Context, test []string, dir string) ([]byte, error) {
	argv := slices.Clone(test)
	at := slices.Index(argv, "-t")
	if at < 0 {
		return nil, fmt.Errorf("nginx.test %q has no -t: there is no telling how to make nginx print its configuration (-T)", test)
	}
	argv[at] = "-T"
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var said tail
	command.Stderr = &said
	printed, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("nginx: %w", err)
	}
	text, err := withoutLists(printed, dir)
	if err != nil {
		cancel()
		_ = command.Wait()
		return nil, err
	}
	if err := command.Wait(); err != nil {
		return nil, fmt.Errorf("nginx: %s: %s", strings.Join(argv, " "), reason(said.text, err))
	}
	return text, nil
}

// Version asks for nginx's version, by the command that tests it with -v in the place of -t;
// "" where it does not say.
func Version(ctx context.Context, test []string) string {
	argv := slices.Clone(test)
	at := slices.Index(argv, "-t")
	if at < 0 {
		return ""
	}
	argv[at] = "-v"
	said, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return ""
	}
	_, after, _ := strings.Cut(string(said), "nginx/")
	return strings.TrimRight(after[:len(after)-len(strings.TrimLeft(after, "0123456789."))], ".")
}

// maxDump bounds what is kept of a configuration, in bytes.
const maxDump = 64 << 20

// dumpMark begins the line before each file that nginx -T prints.
const dumpMark = "# configuration file "

// withoutLists copies a dump without what stands in the files that weir writes anew for each
// version.
func withoutLists(dump io.Reader, dir string) ([]byte, error) {
	var kept bytes.Buffer
	skip := false
	for in := bufio.NewReaderSize(dump, 64<<10); ; {
		line, err := in.ReadSlice('\n')
		if name, ok := bytes.CutPrefix(line, []byte(dumpMark)); ok {
			path := strings.TrimSuffix(strings.TrimSpace(string(name)), ":")
			skip = filepath.Dir(path) == dir && listName.FindString(filepath.Base(path)) == filepath.Base(path)
		}
		if !skip {
			if kept.Len()+len(line) > maxDump {
				return nil, fmt.Errorf("nginx -T prints more than %d bytes beside weir's lists", maxDump)
			}
			kept.Write(line)
		}
		switch {
		case errors.Is(err, io.EOF):
			return kept.Bytes(), nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("nginx -T: %w", err)
		}
	}
}
