//! Makes a thumbnail of a PNG or JPEG picture: a PNG whose longer side has 256 pixels.

use std::io::Cursor;

use fusebox_guest::log;
use image::{
    DynamicImage, GenericImageView, ImageDecoder, ImageFormat, ImageReader, ImageResult, Limits, metadata::Orientation,
};

/// Longer side of a thumbnail in pixels. Smaller pictures keep their size.
const SIDE_PIXELS: u32 = 256;

/// Memory limit of decoding. A small file can claim to contain a huge picture; since this is below the memory limit of
/// a run, such a file results in a descriptive error.
const DECODING_BYTES_MAX: u64 = 40 << 20;

#[fusebox_guest::function]
fn thumbnail(picture: &[u8]) -> ImageResult<Vec<u8>> {
    let (picture, orientation) = decoded(picture, DECODING_BYTES_MAX)?;
    let (width, height) = picture.dimensions();
    let mut small = if width.max(height) > SIDE_PIXELS { picture.thumbnail(SIDE_PIXELS, SIDE_PIXELS) } else { picture };
    small.apply_orientation(orientation);
    log::info!("{width} x {height} to {} x {}", small.width(), small.height());
    let mut png = Cursor::new(Vec::new());
    small.write_to(&mut png, ImageFormat::Png)?;
    Ok(png.into_inner())
}

/// Decodes a picture, and returns the camera's orientation, which the pixels do not reflect.
fn decoded(picture: &[u8], bytes_max: u64) -> ImageResult<(DynamicImage, Orientation)> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(bytes_max);
    let mut reader = ImageReader::new(Cursor::new(picture)).with_guessed_format()?;
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    limits.reserve(decoder.total_bytes())?;
    let orientation = decoder.orientation()?;
    Ok((DynamicImage::from_decoder(decoder)?, orientation))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut png = Cursor::new(Vec::new());
        DynamicImage::new_rgb8(width, height).write_to(&mut png, ImageFormat::Png).unwrap();
        png.into_inner()
    }

    fn size_of_thumbnail(picture: &[u8]) -> (u32, u32) {
        let png = thumbnail(picture).unwrap();
        image::load_from_memory_with_format(&png, ImageFormat::Png).unwrap().dimensions()
    }

    #[test]
    fn the_longer_side_shrinks_to_256_and_the_shape_stays() {
        assert_eq!(size_of_thumbnail(&png(1024, 512)), (256, 128));
        assert_eq!(size_of_thumbnail(&png(300, 900)), (85, 256));
    }

    #[test]
    fn a_small_picture_keeps_its_size() {
        assert_eq!(size_of_thumbnail(&png(20, 10)), (20, 10));
    }

    #[test]
    fn a_jpeg_becomes_a_png() {
        assert_eq!(size_of_thumbnail(include_bytes!("../../data/sunset.jpg")), (256, 192));
    }

    #[test]
    fn what_is_no_picture_is_an_error() {
        assert_eq!(thumbnail(b"no picture").unwrap_err().to_string(), "The image format could not be determined");
    }

    #[test]
    fn a_picture_too_large_to_decode_is_an_error() {
        let error = decoded(&png(100, 100), 10_000).unwrap_err();
        assert!(matches!(error, image::ImageError::Limits(_)), "{error}");
    }
}
