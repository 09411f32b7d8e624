package picture

// The standard library has no decoder for WebP; this one registers itself with
// package image.
import _ "golang.org/x/image/webp"
