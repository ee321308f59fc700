// Package gzipped is the content coding gzip: who accepts it, and answers in it whose
// parts tell nothing of each other by their size.
//
// It knows nothing about what the answers are.
package gzipped
