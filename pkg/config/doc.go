// Package config turns orbitd.toml and the files of apps.d into an immutable
// [Config], in two steps: raw TOML with the line of every key, then typed values
// of which each was checked. It reports as many mistakes as it can find in one
// run, each with its file, its line and a hint at what to write instead.
//
// It knows nothing of what the values are used for, and opens no socket, engine
// or connection.
package config
