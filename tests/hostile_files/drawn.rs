//! Files drawn by number: a valid one with changes.

use crate::{changes::change, forms::Form, readers::Reader};
use ocelli::tensor::{Key, Stream};

/// Changes of one file, at the most.
const MAX_CHANGES: usize = 8;

/// A valid file in parts.
pub struct Seed {
    pub form: Form,
    pub parts: Vec<Vec<u8>>,
}

impl Seed {
    pub fn new(form: Form, parts: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Seed {
        Seed { form, parts: parts.into_iter().map(Into::into).collect() }
    }

    /// A file in one part.
    pub fn plain(bytes: impl Into<Vec<u8>>) -> Seed {
        Seed { form: crate::forms::plain, parts: vec![bytes.into()] }
    }

    pub fn bytes(&self) -> Vec<u8> {
        (self.form)(&self.parts)
    }
}

/// The files that are drawn for one reader.
pub struct Drawing {
    name: &'static str,
    words: &'static [&'static [u8]],
    seeds: Vec<Seed>,
}

impl Drawing {
    pub fn new(reader: &Reader) -> Drawing {
        Drawing { name: reader.name, words: reader.words, seeds: (reader.seeds)() }
    }

    /// The file with this number: always the same bytes. The first ones are the valid files.
    pub fn file(&self, number: u64) -> Vec<u8> {
        if let Some(seed) = usize::try_from(number).ok().and_then(|number| self.seeds.get(number)) {
            return seed.bytes();
        }
        let mut stream = Key::new(0).with(self.name).at(number).stream();
        let seed = &self.seeds[stream.below(self.seeds.len())];
        let donor = &self.seeds[stream.below(self.seeds.len())];
        let mut parts = seed.parts.clone();
        // Most changes are of parts: they come through lengths and checksums.
        let (within, without) = match stream.below(4) {
            0 => (0, count(&mut stream)),
            1 => (count(&mut stream), 1),
            _ => (count(&mut stream), 0),
        };
        (0..within).for_each(|_| self.change_parts(&mut parts, donor, &mut stream));
        let mut file = (seed.form)(&parts);
        if without > 0 {
            let donor = donor.bytes();
            (0..without).for_each(|_| change(&mut file, &mut stream, &donor, self.words));
        }
        file
    }

    fn change_parts(&self, parts: &mut Vec<Vec<u8>>, donor: &Seed, stream: &mut Stream) {
        if parts.is_empty() {
            return;
        }
        let at = stream.below(parts.len());
        let foreign = &donor.parts[stream.below(donor.parts.len())];
        match stream.below(12) {
            0 if parts.len() > 1 => drop(parts.remove(at)),
            1 if parts.len() > 1 => {
                let other = stream.below(parts.len());
                parts.swap(at, other);
            }
            2 => parts.insert(at, parts[at].clone()),
            3 => parts.insert(at, foreign.clone()),
            _ => change(&mut parts[at], stream, foreign, self.words),
        }
    }
}

/// A number of changes: few are more likely.
fn count(stream: &mut Stream) -> usize {
    1 + (1..MAX_CHANGES).take_while(|_| stream.below(3) > 0).count()
}
