mod checkpoints;
mod hostile;
mod loading;
mod saving;
mod torch_files;
mod torch_writer;
