//! Faces that are drawn without any file: identities that differ in their features, in images that differ in light, pose,
//! expression and noise.
//!
//! A face is an oval with hair, eyes, brows, nose and mouth, whose sizes, places and tones belong to its identity; each
//! image is shifted, turned, scaled and lit at random. An image is a function of the seed, its identity and its number.

use ocelli_tensor::{Key, Stream, Tensor};

/// Rows and columns of an image: those of the faces of ORL.
pub const SIZE: [usize; 2] = [112, 92];

/// The traits that an identity keeps in all images. Lengths are in halves of the width of the image.
struct Face {
    width: f32,
    height: f32,
    skin: f32,
    hair: f32,
    hair_line: f32,
    background: f32,
    eye_distance: f32,
    eye_height: f32,
    eye_size: [f32; 2],
    brow: [f32; 3],
    nose: [f32; 2],
    mouth: [f32; 3],
    ears: f32,
}

/// The pose, light and expression of one image.
struct View {
    shift: [f32; 2],
    turn: f32,
    scale: f32,
    /// Sideways turn of the head: features move within the oval.
    pose: f32,
    light: [f32; 2],
    brightness: f32,
    smile: f32,
    eyes: f32,
}

impl Face {
    fn draw(random: &mut Stream) -> Face {
        let mut between = |low: f32, high: f32| random.between(low, high);
        Face {
            width: between(0.52, 0.7),
            height: between(0.78, 0.98),
            skin: between(0.5, 0.85),
            hair: between(0.05, 0.5),
            hair_line: between(0.35, 0.72),
            background: between(0.1, 0.4),
            eye_distance: between(0.2, 0.32),
            eye_height: between(0.05, 0.22),
            eye_size: [between(0.07, 0.13), between(0.03, 0.06)],
            brow: [between(0.1, 0.2), between(0.015, 0.045), between(-0.35, 0.35)],
            nose: [between(0.05, 0.12), between(0.2, 0.36)],
            mouth: [between(0.14, 0.28), between(0.025, 0.06), between(0.42, 0.58)],
            ears: between(0.0, 0.12),
        }
    }

    /// Returns the tone at a place of the upright face: x to the right, y down, from the middle of the oval.
    fn tone(&self, view: &View, x: f32, y: f32) -> f32 {
        let inside = |x: f32, y: f32, a: f32, b: f32| 1.0 - (x / a).hypot(y / b);
        // 1 within an oval, 0 outside, and a soft edge of about a pixel.
        let cover = |depth: f32, softness: f32| (0.5 + depth / softness).clamp(0.0, 1.0);
        let mut tone = self.background;
        let mut paint = |with: f32, cover: f32| tone += cover * (with - tone);
        let skin = self.skin + 0.06 * (1.0 - (x / self.width).powi(2));
        // hair behind the head, ears, and the head
        paint(self.hair, cover(inside(x, y + 0.12, self.width + 0.09, self.height + 0.02), 0.05));
        let ear = inside(x.abs() - self.width, y - 0.02, 0.03 + self.ears, 0.16);
        paint(0.9 * skin, cover(ear, 0.2));
        paint(skin, cover(inside(x, y, self.width, self.height), 0.05));
        // hair above the forehead
        let above = -y - self.hair_line * self.height + 0.25 * (x / self.width).powi(2);
        paint(self.hair, cover(above.min(inside(x, y + 0.08, self.width + 0.06, self.height)), 0.05));
        // features follow the pose
        let (x, side) = (x - view.pose, (x - view.pose).abs());
        let eye_y = y + self.eye_height;
        let [eye_width, eye_open] = [self.eye_size[0], self.eye_size[1] * view.eyes];
        paint(0.95, cover(inside(side - self.eye_distance, eye_y, eye_width, eye_open), 0.3));
        paint(0.08, cover(inside(side - self.eye_distance, eye_y, 0.55 * eye_open + 0.015, eye_open), 0.3));
        let [brow_width, brow_thickness, tilt] = self.brow;
        let brow_y = eye_y + self.eye_size[1] + 0.09 + tilt * 0.3 * (side - self.eye_distance);
        paint(0.8 * self.hair, cover(inside(side - self.eye_distance, brow_y, brow_width, brow_thickness), 0.4));
        // The nose: a shadow along one side, and the nostrils.
        let [nose_width, nose_length] = self.nose;
        let along = ((eye_y - 0.05) / nose_length).clamp(0.0, 1.0);
        let shadow = inside(x - 0.6 * nose_width * along, eye_y - 0.5 * nose_length - 0.05, 0.03, 0.5 * nose_length);
        paint(0.8 * skin, 0.7 * cover(shadow, 0.6));
        paint(
            0.4 * skin,
            cover(inside(side - 0.6 * nose_width, eye_y - nose_length - 0.06, 0.35 * nose_width, 0.02), 0.4),
        );
        // The mouth: a bow that a smile bends.
        let [mouth_width, thickness, mouth_y] = self.mouth;
        let bent = y - mouth_y + view.smile * (x / mouth_width).powi(2) * 0.1;
        paint(0.45 * skin, cover(inside(x, bent, mouth_width * (1.0 + 0.2 * view.smile), thickness), 0.3));
        tone
    }
}

impl View {
    fn draw(random: &mut Stream) -> View {
        let mut around = |size: f32| random.between(-size, size);
        View {
            shift: [around(0.07), around(0.07)],
            turn: around(0.12),
            scale: 1.0 + around(0.08),
            pose: around(0.09),
            light: [around(0.25), around(0.15)],
            brightness: 1.0 + around(0.2),
            smile: 0.4 + around(1.0),
            eyes: 0.8 + around(0.35),
        }
    }
}

/// Draws `images` images of each of `identities` faces: `[identities·images, 112, 92, 1]` of values from 0 to 1, identity
/// after identity, and their labels.
///
/// # Errors
/// [`crate::Error::Tensor`] if there is no room for so many.
///
/// ```
/// let (images, labels) = ocelli_data::synthetic_faces::faces(3, 2, 42)?;
/// assert_eq!((images.shape(), &labels[..]), (&[6, 112, 92, 1][..], &[0, 0, 1, 1, 2, 2][..]));
/// # Ok::<(), ocelli_data::Error>(())
/// ```
pub fn faces(identities: usize, images: usize, seed: u64) -> crate::Result<(Tensor, Vec<u32>)> {
    let [height, width] = SIZE;
    let mut drawn = Tensor::try_zeros([identities.saturating_mul(images), height, width, 1])?;
    let key = Key::new(seed).with("synthetic faces");
    let mut labels = Vec::with_capacity(identities * images);
    for (number, image) in drawn.data_mut().chunks_exact_mut(height * width).enumerate() {
        let identity = (number / images) as u64;
        let face = Face::draw(&mut key.at(identity).stream());
        let mut random = key.at(identity).at((number % images) as u64).with("view").stream();
        draw(&face, &View::draw(&mut random), &mut random, image);
        labels.push(identity as u32);
    }
    Ok((drawn, labels))
}

fn draw(face: &Face, view: &View, random: &mut Stream, image: &mut [f32]) {
    let [height, width] = SIZE.map(|side| side as f32);
    let (sine, cosine) = view.turn.sin_cos();
    for (at, value) in image.iter_mut().enumerate() {
        let (row, column) = ((at / SIZE[1]) as f32 + 0.5, (at % SIZE[1]) as f32 + 0.5);
        // from the pixel to the upright face
        let x = (column - width / 2.0) / (width / 2.0) - view.shift[0];
        let y = (row - height / 2.0) / (width / 2.0) - view.shift[1];
        let (x, y) = ((cosine * x + sine * y) / view.scale, (cosine * y - sine * x) / view.scale);
        let light = view.brightness * (1.0 + view.light[0] * x + view.light[1] * y);
        *value = (face.tone(view, x, y) * light + 0.03 * random.normal()).clamp(0.0, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_one_face_are_closer_than_those_of_two() {
        let (images, labels) = faces(12, 4, 1).unwrap();
        let of = |i: usize| &images.data()[i * 112 * 92..][..112 * 92];
        let distance = |i: usize, j: usize| of(i).iter().zip(of(j)).map(|(x, y)| (x - y).powi(2)).sum::<f32>();
        let mean = |same: bool| {
            let pairs = (0..48).flat_map(|i| (0..i).map(move |j| (i, j)));
            let of: Vec<f32> =
                pairs.filter(|(i, j)| (labels[*i] == labels[*j]) == same).map(|(i, j)| distance(i, j)).collect();
            of.iter().sum::<f32>() / of.len() as f32
        };
        assert!(mean(true) < 0.9 * mean(false), "{} and {}", mean(true), mean(false));
        assert_eq!(faces(12, 4, 1).unwrap().0, images);
        assert_ne!(faces(12, 4, 2).unwrap().0, images);
        assert!(images.data().iter().all(|x| (0.0..=1.0).contains(x)));
    }
}
