//! Pictures as PNG, for where SVG is not shown: in a chat, in a mail, on paper. The font comes along: a container has none.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

/// How wide or high a picture may be, in pixels.
pub const PIXELS_MAX: f32 = 8192.0;
/// How many pixels it may have in all: 48 MiB while it is drawn.
pub const AREA_PIXELS_MAX: f32 = 12.0 * 1024.0 * 1024.0;
/// How many pixels a unit of the SVG has where there is room: letters are crisp on a dense screen.
const SCALE: f32 = 2.0;

/// The one font there is, read once.
static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
    let family = fonts.faces().next().and_then(|face| face.families.first()).map(|(name, _)| name.clone());
    if let Some(family) = family {
        fonts.set_sans_serif_family(family);
    }
    Arc::new(fonts)
});

/// Draws an SVG of our own and writes it as PNG. Takes some tens of milliseconds of work: not for a thread that others wait for.
///
/// # Errors
/// What is wrong with the SVG, or that it can't be drawn.
pub fn png(svg: &str) -> Result<Vec<u8>, String> {
    let options = Options { fontdb: FONTS.clone(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|error| error.to_string())?;
    let (width, height) = (tree.size().width(), tree.size().height());
    let scale = SCALE.min(PIXELS_MAX / width).min(PIXELS_MAX / height).min((AREA_PIXELS_MAX / (width * height)).sqrt());
    let size = tree.size().to_int_size().scale_by(scale).ok_or("the picture is empty")?;
    let mut pixels = Pixmap::new(size.width(), size.height()).ok_or("the picture is too large")?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(svg: &str) -> Pixmap {
        Pixmap::decode_png(&png(svg).unwrap()).unwrap()
    }

    fn of(inner: &str, width: u32, height: u32) -> String {
        format!("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\">{inner}</svg>")
    }

    #[test]
    fn words_are_drawn_without_any_font_of_the_machine() {
        for family in ["Ubuntu, sans-serif", "No Such Font, sans-serif"] {
            let text = format!("<text x=\"4\" y=\"20\" font-size=\"16\" font-family=\"{family}\">T-minus Übung Ω Ж</text>");
            let pixels = drawn(&of(&text, 200, 30));
            assert_eq!((pixels.width(), pixels.height()), (400, 60));
            let inked = pixels.pixels().iter().filter(|pixel| pixel.alpha() > 128).count();
            assert!((800..6000).contains(&inked), "{inked} pixels of words in {family}");
        }
    }

    #[test]
    fn a_picture_is_never_larger_than_its_bounds() {
        for (width, height) in [(1200, 20_000), (90_000, 10), (6000, 6000), (1, 1)] {
            let pixels = drawn(&of("<rect width=\"100%\" height=\"100%\" fill=\"red\"/>", width, height));
            let longest = f64::from(pixels.width().max(pixels.height()));
            assert!(longest <= f64::from(PIXELS_MAX) + 1.0, "{longest} of {width} x {height}");
            assert!(
                f64::from(pixels.width()) * f64::from(pixels.height()) <= f64::from(AREA_PIXELS_MAX) * 1.01,
                "{width} x {height}"
            );
        }
    }

    #[test]
    fn what_is_no_picture_is_said() {
        assert!(png("<svg").is_err() && png("").is_err());
        assert!(png(&of("<text>\u{1}</text>", 10, 10)).is_err(), "what XML does not allow is refused");
    }
}
