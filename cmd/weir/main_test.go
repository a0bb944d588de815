package main

import (
	"context"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weir-project/weir/internal/embedded"
)

func TestMain(m *testing.M) {
	embedded.ChildMain()
	testscript.Main(m, map[string]func(){
		"weir": func() { os.Exit(run(context.Background(), os.Args[1:], screen{os.Stdin, os.Stdout, os.Stderr})) },
	})
}

// TestScripts runs the command line as a person would: testdata/script/*.txtar.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("WEIR_TESTDATA", os.Getenv("WEIR_TESTDATA"))
			e.Setenv("WEIR_LIBCHDB", os.Getenv("WEIR_LIBCHDB"))
			e.Setenv("HOME", os.Getenv("HOME"))
			return nil
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "testdata":
				return os.Getenv("WEIR_TESTDATA") != "", nil
			case "libchdb":
				_, err := embedded.FindLibrary()
				return err == nil || os.Getenv("CI") == "true", nil
			}
			return false, nil
		},
	})
}
