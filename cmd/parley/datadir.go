package main

import (
	"os"
	"path/filepath"
	"runtime"
)

// defaultDataDir is where the platform keeps data of programs, with a folder
// of our own; empty when the environment tells no home.
func defaultDataDir() string {
	const name = "parley"
	home, err := os.UserHomeDir()
	switch runtime.GOOS {
	case "windows":
		if dir := os.Getenv("LocalAppData"); dir != "" {
			return filepath.Join(dir, name)
		}
	case "darwin":
		if err == nil {
			return filepath.Join(home, "Library", "Application Support", name)
		}
	default:
		if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
			return filepath.Join(dir, name)
		}
		if err == nil {
			return filepath.Join(home, ".local", "share", name)
		}
	}
	return ""
}
